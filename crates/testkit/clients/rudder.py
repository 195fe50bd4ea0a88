"""rudder.py DATA_PLANE WRITE_KEY < calls.json: sends `[{"type", …}]` with RudderStack's SDK for Python."""

import json
import sys

import rudderstack.analytics as rudder

rudder.dataPlaneUrl, rudder.write_key = sys.argv[1], sys.argv[2]
errors = []
rudder.on_error = lambda error, batch: errors.append(error)
for call in json.load(sys.stdin):
    if call["type"] == "track":
        rudder.track(call["userId"], call["event"], call.get("properties", {}))
    elif call["type"] == "identify":
        rudder.identify(call["userId"], call.get("traits", {}))
    else:
        sys.exit(f"what is {call['type']}?")
rudder.flush()
if errors:
    sys.exit(f"refused: {errors}")
