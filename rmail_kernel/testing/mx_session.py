"""One session of the fake mail exchanger."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re

from rmail_kernel.testing.mx_script import MxScript, Received
from rmail_kernel.testing.mx_steps import Drop, Endless, Hang, Raw, Step, Take

_PATH = re.compile(r"[^<]*<([^>]*)>\s*(.*)\Z", re.S)
_ITERATIONS = 4096
_SALT = b"salt of the test"


class _Over(Exception):
    """The session ends."""


class MxSession:
    """Reads commands and does what its server was told."""

    def __init__(
        self, mx: MxScript, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._mx = mx
        self._reader = reader
        self._writer = writer
        self._message: Received | None = None
        self._chunks: list[bytes] = []
        self._is_tls = False
        self._login = ""

    async def run(self) -> None:
        """The whole session."""
        try:
            if self._mx.implicit_tls:
                await self._upgrade()
            await self._answer("", f"220 {self._mx.name} ready")
            while line := await self._reader.readline():
                text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
                await self._mx.hear(text)
                await self._command(text)
                await self._writer.drain()
        except _Over:
            pass

    async def _command(self, text: str) -> None:
        verb, _, rest = text.partition(" ")
        verb = verb.upper()
        if verb == "QUIT":
            await self._answer(verb, "221 bye")
            raise _Over
        if verb == "EHLO":
            await self._answer(verb, self._hello())
        elif verb == "STARTTLS":
            await self._start_tls()
        elif verb == "AUTH":
            await self._auth(rest)
        elif verb == "MAIL":
            await self._mail(rest)
        elif verb == "RCPT":
            await self._rcpt(rest)
        elif verb == "DATA":
            await self._data()
        elif verb == "BDAT":
            await self._bdat(rest)
        else:
            self._message = None if verb == "RSET" else self._message
            await self._answer(verb, "250 ok")

    async def _answer(self, verb: str, success: str) -> bool:
        """Says what was asked for; whether it was success."""
        step = self._mx.next_step(verb)
        if step is None:
            self._say(success)
            return True
        await self._do(step)
        return isinstance(step, str) and step[0] in "23"

    async def _do(self, step: Step | str) -> None:
        if isinstance(step, str):
            self._say(step)
        elif isinstance(step, Raw):
            self._writer.write(step.raw)
        elif isinstance(step, Hang):
            await self._reader.read()  # until the peer leaves
            raise _Over
        elif isinstance(step, Endless):
            while True:
                self._writer.write(step.raw)
                await self._writer.drain()
        else:
            if isinstance(step, Drop) and step.text:
                self._say(step.text)
                await self._writer.drain()
                self._writer.write_eof()
                await self._reader.read()
            raise _Over

    def _say(self, text: str) -> None:
        self._writer.write(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def _hello(self) -> str:
        keywords = list(self._mx.extensions)
        if self._mx.tls is not None and not self._is_tls:
            keywords.append("STARTTLS")
        lines = [f"{self._mx.name} hello", *keywords]
        return (
            "\r\n".join(f"250-{line}" for line in lines[:-1])
            + ("\r\n" if len(lines) > 1 else "")
            + f"250 {lines[-1]}"
        )

    async def _start_tls(self) -> None:
        if await self._answer("STARTTLS", "220 go"):
            await self._upgrade()

    async def _upgrade(self) -> None:
        assert self._mx.tls is not None, "no TLS context"
        await self._writer.start_tls(self._mx.tls)
        self._is_tls = True

    # --- login ---

    async def _auth(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        if self._mx.next_step("AUTH") is not None:
            self._say("535 5.7.8 no")
            return
        name = ""
        if mechanism == "PLAIN":
            _, name, password = base64.b64decode(initial).decode().split("\0")
        elif mechanism == "LOGIN":
            name, password = await self._ask("VXNlcm5hbWU6"), await self._ask("UGFzc3dvcmQ6")
        elif mechanism == "SCRAM-SHA-256":
            name, password = await self._scram(base64.b64decode(initial).decode())
        if name and self._mx.logins.get(name) == password:
            self._login = name
            self._say("235 2.7.0 welcome")
        else:
            self._say("535 5.7.8 wrong")

    async def _ask(self, prompt: str) -> str:
        self._say(f"334 {prompt}")
        await self._writer.drain()
        return base64.b64decode((await self._reader.readline()).strip()).decode()

    async def _scram(self, first: str) -> tuple[str, str]:
        """RFC 5802 5; name and password, the password "" when the proof is wrong."""
        bare = first.removeprefix("n,,")
        parts = dict(part.split("=", 1) for part in bare.split(","))
        password = self._mx.logins.get(parts["n"], "")
        nonce = parts["r"] + "server"
        salt = base64.b64encode(_SALT).decode()
        challenge = f"r={nonce},s={salt},i={_ITERATIONS}"
        last = await self._ask(base64.b64encode(challenge.encode()).decode())
        without, _, proof = last.rpartition(",p=")
        signed = f"{bare},{challenge},{without}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), _SALT, _ITERATIONS)
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        expected = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        if base64.b64decode(proof) != expected:
            return parts["n"], "wrong"
        server = hmac.digest(salted, b"Server Key", "sha256")
        if self._mx.is_impostor:
            server = _SALT
        signed_back = base64.b64encode(hmac.digest(server, signed, "sha256")).decode()
        await self._ask(base64.b64encode(f"v={signed_back}".encode()).decode())
        return parts["n"], password

    # --- the transaction ---

    async def _mail(self, rest: str) -> None:
        found = _PATH.match(rest)
        assert found is not None, rest
        if await self._answer("MAIL", "250 2.1.0 ok"):
            self._message = Received(found[1], mail=found[2], tls=self._is_tls, login=self._login)
            self._chunks = []

    async def _rcpt(self, rest: str) -> None:
        found = _PATH.match(rest)
        assert found is not None, rest
        if found[1] in self._mx.refuse:
            self._say(self._mx.refuse[found[1]])
        elif self._message is None:
            self._say("503 5.5.1 MAIL first")
        elif await self._answer("RCPT", "250 2.1.5 ok"):
            self._message.recipients.append(found[1])
            self._message.rcpt.append(found[2])

    async def _data(self) -> None:
        step = self._mx.next_step("DATA")
        has_recipients = self._message is not None and self._message.recipients
        if step is None:
            step = "354 go" if has_recipients else "554 5.5.1 no valid recipients"
        await self._do(step)
        if not isinstance(step, str) or not step.startswith("354"):
            return
        await self._writer.drain()
        lines: list[bytes] = []
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise _Over
            lines.append(line[1:] if line.startswith(b".") else line)
        await self._finish(b"".join(lines))

    async def _bdat(self, rest: str) -> None:
        size, _, last = rest.partition(" ")
        self._chunks.append(await self._reader.readexactly(int(size)))
        if self._message is None or not self._message.recipients:
            self._say("554 5.5.1 no valid recipients")
        elif not last:
            await self._answer("BDAT", "250 2.0.0 ok")
        else:
            self._message.is_chunked = True
            await self._finish(b"".join(self._chunks))

    async def _finish(self, raw: bytes) -> None:
        step = self._mx.next_step(".")
        message, self._message = self._message, None
        is_taken = step is None or isinstance(step, Take) or str(step).startswith("2")
        if is_taken and message is not None and message.recipients:
            message.raw = raw
            await self._mx.keep(message)
        if step is None:
            self._say("250 2.0.0 taken")
        else:
            await self._do(step)
