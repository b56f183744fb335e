"""A small client of the protocol: it links to a node, keeps the link alive and sells.

Like `wire`, written from docs/protocol.md alone and importing nothing of the project.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nacl.signing import SigningKey

from tests.protocol_client import wire
from tests.protocol_client.wire import Fields, Half, Key, NodeBroke

VERSION = 1
HELLO, PING, PONG, ACK, GOODBYE = 0x01, 0x06, 0x07, 0x08, 0x09
AUTH_CHALLENGE, AUTH_RESPONSE, AUTH_REJECT = 0x60, 0x61, 0x62
OFFERING_ANNOUNCE, OFFERING_WITHDRAW = 0xC0, 0xC1
SYNC_REQ, SYNC_RSP = 0xC5, 0xC6
ANSWER_S = 10.0


class Refused(Exception):
    """The node ended the connection; `reason` is its stable code, empty when it gave none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "the connection was closed without a reason")
        self.reason = reason


class Client:
    """One link to one node, as its dialler; made by `connect`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: Key, network: str
    ) -> None:
        self.key = key
        self.node_id = ""
        self.swarm, self.secret = "", ""
        self.is_member_with = False
        self.records: list[Fields] = []
        self.pings_answered = 0
        self._reader, self._writer, self._network = reader, writer, network
        self._pongs: asyncio.Queue[int] = asyncio.Queue()
        self._sync_answers: asyncio.Queue[Fields] = asyncio.Queue()
        self._asked = 0
        self._lamport_ts = 0
        self._seq = 0
        self._living: asyncio.Task[str] | None = None

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        network: str = "galaxy",
        key: Key | None = None,
        with_tls: bool = True,
        swarm: str = "visitors",
        secret: str = "",
        claimed_node_id: str = "",
        sign: Callable[[Key, bytes], str] = Key.sign,
    ) -> Client:
        """Link to a node and verify it, or raise Refused or NodeBroke.

        `claimed_node_id` and `sign` are for clients that lie.
        """
        tls = wire.tls_context() if with_tls else None
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        client = cls(reader, writer, key or Key(SigningKey.generate()), network)
        client.swarm, client.secret = swarm, secret
        try:
            async with asyncio.timeout(ANSWER_S):
                await client._shake_hands(claimed_node_id or client.key.node_id, sign)
        except BaseException:
            writer.close()
            raise
        client._living = asyncio.create_task(client._live(), name="client")
        return client

    async def _shake_hands(self, node_id: str, sign: Callable[[Key, bytes], str]) -> None:
        own = Half(node_id, secrets.token_bytes(32), self._hello(node_id))
        self._write(own.hello)
        hello_payload, hello = await self._expect(HELLO)
        _, challenge = await self._expect(AUTH_CHALLENGE)
        node_key = base64.b64decode(hello["public_key"])
        if wire.node_id_of(node_key) != hello["node_id"] or hello["network"] != self._network:
            raise NodeBroke(f"HELLO of {hello['node_id']} is not of its key and our network")
        other = Half(hello["node_id"], bytes.fromhex(challenge["nonce"]), hello_payload)
        self._send(AUTH_CHALLENGE, nonce=own.nonce.hex())
        certificate = self._certificate()
        if certificate and not wire.holds_key(certificate, node_key):
            raise NodeBroke(f"the certificate is not of {hello['node_id']}")
        cert_hash = wire.certificate_hash(certificate)
        covered = wire.transcript("dialler", self._network, own, other, cert_hash)
        shared = self.secret if hello["swarm"] == self.swarm else ""
        self._send(
            AUTH_RESPONSE,
            node_id=node_id,
            role="worker",
            signature=sign(self.key, covered),
            membership=wire.membership(shared, covered),
        )
        _, response = await self._expect(AUTH_RESPONSE)
        covered = wire.transcript("listener", self._network, own, other, cert_hash)
        if not wire.is_signed(node_key, covered, response["signature"]):
            raise NodeBroke(f"{hello['node_id']} did not prove its key")
        proof = response.get("membership", "")
        self.is_member_with = bool(proof) and proof == wire.membership(shared, covered)
        self.node_id = hello["node_id"]

    def _certificate(self) -> bytes:
        """Return the certificate that the listener has shown, in DER, empty without TLS."""
        tls = self._writer.get_extra_info("ssl_object")
        return (tls.getpeercert(binary_form=True) or b"") if tls else b""

    def _hello(self, node_id: str) -> bytes:
        fields = {
            "version": VERSION,
            "network": self._network,
            "node_id": node_id,
            "public_key": self.key.public_text,
            "swarm": self.swarm,
            "role": "worker",
            "p2p_port": 0,
            "http_port": 0,
            "addresses": [],
            "capabilities": [],
            "nonce": f"{_unix_ms():012x}{secrets.token_hex(2)}",
        }
        return wire.encode(HELLO, fields)

    async def ping(self) -> None:
        """Send a PING and wait for the PONG that repeats its timestamp."""
        timestamp = _unix_ms()
        self._send(PING, node_id=self.key.node_id, timestamp=timestamp)
        async with asyncio.timeout(ANSWER_S):
            while await self._pongs.get() != timestamp:
                pass

    def announce(self, *, idle_agents: int, price_per_task: int, offering_id: str = "") -> str:
        """Announce an offering of a minute and return its id."""
        now = datetime.now(UTC)
        offering = {
            "id": offering_id or uuid.uuid4().hex,
            "node_id": self.key.node_id,
            "swarm": "visitors",
            "addresses": [],
            "idle_agents": idle_agents,
            "capabilities": ["python"],
            "price_per_task": price_per_task,
            "currency": "VOID",
            "policy": "accepted_result",
            "isolation": "worktree",
            "api_keys": False,
            "expires_at": _timestamp(now + timedelta(minutes=1)),
            "created_at": _timestamp(now),
        }
        self.write(self.record(OFFERING_ANNOUNCE, offering=offering))
        return str(offering["id"])

    def withdraw(self, offering_id: str) -> None:
        """Withdraw an offering before its time."""
        self.write(
            self.record(OFFERING_WITHDRAW, offering_id=offering_id, node_id=self.key.node_id)
        )

    async def pull(self) -> dict[str, int]:
        """Pull all live records and return up to which seq each origin is covered."""
        marks: dict[str, tuple[int, int]] = {}
        while True:
            named = [
                {"origin": origin, "incarnation": mark[0], "seq": mark[1]}
                for origin, mark in sorted(marks.items())
            ]
            page = await self._ask(marks={"marks": named})
            self.records += [
                wire.opened(text.encode(), self._network) for text in page.get("frames", [])
            ]
            for each in page.get("covers", []):
                assert marks.get(each["origin"], (1, 0)) == (
                    each["from_incarnation"],
                    each["from_seq"],
                )
                marks[each["origin"]] = (each["through_incarnation"], each["through_seq"])
            if not page.get("more", False):
                return {origin: mark[1] for origin, mark in marks.items()}

    async def is_equal(self) -> bool:
        """Ask whether the node holds exactly the records that we pulled."""
        return bool((await self._ask(hash=wire.hash_of(self.records))).get("equal", False))

    async def _ask(self, **asked: Any) -> Fields:
        self._asked += 1
        self._send(SYNC_REQ, id=self._asked, **asked)
        async with asyncio.timeout(ANSWER_S):
            answer = await self._sync_answers.get()
        assert answer["re"] == self._asked
        return answer

    def record(self, number: int, **fields: Any) -> bytes:
        """Return the payload of this client's next record in topic `marketplace`."""
        self._lamport_ts = max(self._lamport_ts + 1, _unix_ms())
        self._seq += 1
        numbered = {"lamport_ts": self._lamport_ts, "incarnation": 1, "seq": self._seq}
        return wire.seal(number, {**numbered, **fields}, self.key, self._network)

    def write(self, payload: bytes) -> None:
        """Send a payload as it is."""
        self._write(payload)

    async def closed(self) -> str:
        """Wait until the node ends the link and return the reason of its GOODBYE."""
        assert self._living is not None
        async with asyncio.timeout(ANSWER_S):
            return await self._living

    async def close(self) -> None:
        """Say goodbye and close the link."""
        self._send(GOODBYE, reason="stopping")
        if self._living is not None:
            self._living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._living
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _live(self) -> str:
        """Answer and collect what comes, until the node ends the link; return its reason."""
        while True:
            try:
                payload, fields = await self._receive()
            except Refused as refused:
                return refused.reason
            match fields["type"]:
                case number if number == PING:
                    self._send(PONG, node_id=self.key.node_id, timestamp=fields["timestamp"])
                    self.pings_answered += 1
                case number if number == PONG:
                    self._pongs.put_nowait(fields["timestamp"])
                case number if number == SYNC_RSP:
                    self._sync_answers.put_nowait(fields)
                case number if number in (OFFERING_ANNOUNCE, OFFERING_WITHDRAW):
                    self.records.append(wire.opened(payload, self._network))

    async def _expect(self, number: int) -> tuple[bytes, Fields]:
        payload, fields = await self._receive()
        if fields["type"] != number:
            raise NodeBroke(f"type {fields['type']} came, {number} was due")
        return payload, fields

    async def _receive(self) -> tuple[bytes, Fields]:
        """Return the next frame; Refused when it is a farewell or the connection ends."""
        try:
            length = int.from_bytes(await self._reader.readexactly(wire.PREFIX_BYTES), "big")
            if not 0 < length <= wire.FRAME_BYTES_MAX:
                raise NodeBroke(f"frame of {length} bytes")
            payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Refused("") from None
        fields: Fields = json.loads(payload)
        if not payload.startswith(f'{{"type":{fields["type"]},'.encode()):
            raise NodeBroke(f"frame begins {payload[:24]!r}")
        if fields["type"] in (AUTH_REJECT, GOODBYE):
            raise Refused(fields["reason"])
        return payload, fields

    def _send(self, number: int, **fields: Any) -> None:
        self._write(wire.encode(number, fields))

    def _write(self, payload: bytes) -> None:
        self._writer.write(wire.frame(payload))


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _timestamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
