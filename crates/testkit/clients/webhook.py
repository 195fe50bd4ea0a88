"""webhook.py < {"secret", "headers", "body"}: verifies a webhook with Standard Webhooks' library for Python."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

received = json.load(sys.stdin)
webhook = Webhook(received["secret"])
webhook.verify(received["body"], received["headers"])
try:
    webhook.verify(received["body"][:-1] + " ", received["headers"])
except WebhookVerificationError:
    pass
else:
    sys.exit("a changed body was accepted")
