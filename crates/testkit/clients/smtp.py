"""A mail server (aiosmtpd) that writes what it got to standard output, a line of JSON each, and ends when its input does.

What it is told comes as the first line of its input: `tls` (none, starttls or implicit) with `certificate` and `key` in files,
`user` and `password` where it asks for a login. The first line that it writes is its port. How an address begins says what is
done with it: `nobody` and `denied` are refused for good, `full` for now, `later` the first time, `spam` after its content.
"""

import asyncio
import base64
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

told = json.loads(sys.stdin.readline())
seen = set()


def tell(line):
    print(json.dumps(line), flush=True)


def part(message, kind):
    found = message.get_body(preferencelist=(kind,))
    return found.get_content() if found else None


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such user here"
        if address.startswith("denied"):
            return "554 5.7.1 relaying denied"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        if address.startswith("later") and address not in seen:
            seen.add(address)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("spam"):
            return "554 5.7.1 that looks like spam"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        files = [
            {
                "name": it.get_filename(),
                "type": it.get_content_type(),
                "content": base64.b64encode(it.get_content()).decode(),
            }
            for it in message.iter_attachments()
        ]
        tell(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": {name.lower(): str(value) for name, value in message.items()},
                "text": part(message, "plain"),
                "html": part(message, "html"),
                "files": files,
                "tls": server.transport.get_extra_info("ssl_object") is not None,
                "peer": session.peer[1],
            }
        )
        return "250 2.0.0 queued as " + message["Message-ID"].strip("<>").split("@")[0]


def login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data == LoginPassword(told["user"].encode(), told["password"].encode())
    # Not handled: the answer is still to be given.
    return AuthResult(success=good, handled=False)


handler = Handler()
options = {}
context = None
if told.get("tls", "none") != "none":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(told["certificate"], told["key"])
if told.get("tls") == "starttls":
    options.update(tls_context=context, require_starttls=True)
if told.get("user"):
    # It knows of TLS that came by STARTTLS alone.
    options.update(authenticator=login, auth_required=True, auth_require_tls=told.get("tls") == "starttls")


async def main():
    loop = asyncio.get_running_loop()
    implicit = context if told.get("tls") == "implicit" else None
    server = await loop.create_server(lambda: SMTP(handler, **options), "127.0.0.1", 0, ssl=implicit)
    tell(server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
