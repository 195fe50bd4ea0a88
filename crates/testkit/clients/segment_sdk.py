"""segment_sdk.py DATA_PLANE WRITE_KEY < calls.json: sends `[{"type", …}]` with Segment's SDK for Python."""

import json
import sys

import segment.analytics as analytics

errors = []
analytics.host, analytics.write_key, analytics.gzip = sys.argv[1], sys.argv[2], True
analytics.on_error = lambda error, items: errors.append(error)
for call in json.load(sys.stdin):
    if call["type"] == "track":
        analytics.track(user_id=call["userId"], event=call["event"], properties=call.get("properties", {}))
    elif call["type"] == "identify":
        analytics.identify(user_id=call["userId"], traits=call.get("traits", {}))
    else:
        sys.exit(f"what is {call['type']}?")
analytics.shutdown()
if errors:
    sys.exit(f"refused: {errors}")
