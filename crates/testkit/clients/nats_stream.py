"""What a stream of NATS JetStream holds, by the vendor's own client.

Takes one JSON line: `url`, and `make` ({name, subjects, …}) to make a stream, or `read` (a stream's name) for its messages, one JSON
line each, in their order: `seq`, `subject`, `headers`, `data`.
"""
import asyncio
import json
import sys

import nats
from nats.js.api import StreamConfig


async def main() -> None:
    asked = json.loads(sys.stdin.readline())
    options = {name: asked[name] for name in ("user", "password", "token") if name in asked}
    client = await nats.connect(asked["url"], allow_reconnect=False, **options)
    stream = client.jetstream()
    if "make" in asked:
        await stream.add_stream(StreamConfig(**asked["make"]))
    if "read" in asked:
        state = (await stream.stream_info(asked["read"])).state
        for number in range(state.first_seq, state.last_seq + 1):
            message = await stream.get_msg(asked["read"], seq=number)
            line = {"seq": message.seq, "subject": message.subject, "headers": message.headers, "data": message.data.decode()}
            print(json.dumps(line))
    await client.close()


asyncio.run(main())
