"""The vendor's own client of Azure Blob Storage. argv: make CONTAINER, or fetch CONTAINER FOLDER, which writes every blob below the
folder. Standard input: the connection string."""
import pathlib
import sys

from azure.storage.blob import BlobServiceClient

# The emulator knows no newer one.
VERSION = "2024-11-04"
what, name, *folder = sys.argv[1:]
service = BlobServiceClient.from_connection_string(sys.stdin.read().strip(), api_version=VERSION)
container = service.get_container_client(name)
if what == "make":
    container.create_container()
else:
    for blob in container.list_blobs():
        path = pathlib.Path(folder[0], blob.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(container.download_blob(blob.name).readall())
        print(blob.name)
