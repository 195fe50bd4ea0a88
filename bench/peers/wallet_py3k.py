"""wallet-py3k: python wallet_py3k.py FOLDER ASSETS SECONDS OUT; signs by the openssl command, whose CPU time counts."""
import io
import json
import resource
import sys
from pathlib import Path

from wallet.models import Barcode, BarcodeFormat, Pass, StoreCard

WARM_UP_PASSES = 5
KEPT_PASSES = 3

folder, assets, seconds, out = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
keys = json.loads((folder / "pass.json").read_text())
files = {path.name: path.read_bytes() for path in sorted((folder / assets).iterdir())}


def sign(serial):
    style = keys["storeCard"]
    card = StoreCard()
    for group, add in [("primaryFields", card.addPrimaryField), ("secondaryFields", card.addSecondaryField), ("backFields", card.addBackField)]:
        for field in style.get(group, []):
            add(field["key"], field["value"], field.get("label", ""))
    made = Pass(card, passTypeIdentifier=keys["passTypeIdentifier"], organizationName=keys["organizationName"], teamIdentifier=keys["teamIdentifier"])
    made.serialNumber = serial
    made.description = keys["description"]
    made.webServiceURL = keys["webServiceURL"]
    made.authenticationToken = keys["authenticationToken"]
    made.barcode = Barcode(message=serial, format=BarcodeFormat.QR)
    for name, data in files.items():
        made.addFile(name, io.BytesIO(data))
    return made.create(str(folder / "certificate.pem"), str(folder / "key.pem"), str(folder / "intermediate.pem"), "unused").getvalue()


def cpu_seconds():
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(time.ru_utime + time.ru_stime for time in times)


for n in range(WARM_UP_PASSES):
    sign(f"warm-{n}")
start, passes, spent = cpu_seconds(), 0, 0.0
while spent < seconds:
    data = sign(f"peer-{passes}")
    if passes < KEPT_PASSES:
        Path(f"{out}-{passes}.pkpass").write_bytes(data)
    passes += 1
    spent = cpu_seconds() - start
print(json.dumps({"count": passes, "cpu_seconds": spent}))
