"""sender.py KIND URL SECRET < body: sends a body as a vendor does, signed or wrapped by the vendor's own library for Python,
and prints the status and the answer."""

import datetime
import json
import sys
import time

import requests

kind, url, secret = sys.argv[1:4]
body = sys.stdin.read()
headers = {"content-type": "application/json"}
if kind == "stripe":
    import stripe

    now = int(time.time())
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{body}", secret)
    headers["stripe-signature"] = f"t={now},v1={signature}"
elif kind == "standard-webhooks":
    from standardwebhooks.webhooks import Webhook

    now = datetime.datetime.now(tz=datetime.timezone.utc)
    signature = Webhook(secret).sign("msg_python", now, body)
    headers |= {"webhook-id": "msg_python", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
elif kind in ("cloudevents-binary", "cloudevents-structured"):
    from cloudevents.v1.http import CloudEvent, to_binary, to_structured

    event = json.loads(body)
    data = event.pop("data")
    wrap = to_binary if kind == "cloudevents-binary" else to_structured
    headers, body = wrap(CloudEvent(event, data))
    headers = dict(headers) | {"authorization": f"Bearer {secret}"}
else:
    sys.exit(f"what is {kind}?")
answer = requests.post(url, data=body if isinstance(body, bytes) else body.encode(), headers=headers, timeout=20)
print(answer.status_code, answer.text)
