"""pyipv8: signed packets over UDP to all of N nodes, by a flood and by a direct broadcast.

    python -m benchmarks.mesh.subjects.pyipv8_flood NODES

pyipv8 signs and verifies each packet (Ed25519) and leaves it to the application how one reaches
everybody. `flood` hands on the packet of the publisher, as its bytes came, to all but the giver
when it is new; `broadcast` is the cheapest case, in which everybody knows everybody and the
publisher sends to each itself. Walking and discovery are off; nothing is encrypted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import uvloop
from ipv8.community import Community, CommunitySettings
from ipv8.keyvault.crypto import default_eccrypto
from ipv8.lazy_community import lazy_wrapper_wd
from ipv8.messaging.interfaces.udp.endpoint import UDPEndpoint, UDPv4Address
from ipv8.messaging.lazy_payload import VariablePayload, vp_compile
from ipv8.peer import Peer
from ipv8.peerdiscovery.network import Network

from benchmarks.mesh.asyncio_load import closed_loop, open_loop
from benchmarks.mesh.load import Load
from benchmarks.mesh.result import Result

HOST = "127.0.0.1"
FIRST_PORT = 0  # any free one


@vp_compile
class Blob(VariablePayload):
    """The payload in a packet."""

    msg_id = 1
    format_list = ["varlenH"]
    names = ["text"]


class Flooders(Community):
    """One node; `neighbours` are the addresses of all others."""

    community_id = b"voidlux-benchmark-00"[:20]

    def __init__(self, settings: CommunitySettings) -> None:
        super().__init__(settings)
        self.neighbours: list[UDPv4Address] = []
        self.hands_on = True
        self.on_payload: Callable[[bytes], None] = lambda payload: None
        self._seen: set[bytes] = set()
        self.add_message_handler(Blob, self.on_blob)

    def publish(self, payload: bytes) -> None:
        """Sign once and send to every neighbour."""
        self._seen.add(payload[:12])
        self._send(self.ezr_pack(Blob.msg_id, Blob(payload)), None)

    @lazy_wrapper_wd(Blob)
    def on_blob(self, peer: Peer, blob: Blob, data: bytes) -> None:
        """Take a packet whose signature is right."""
        number = blob.text[:12]
        if number in self._seen:
            return
        self._seen.add(number)
        if self.hands_on:
            self._send(data, peer.address)
        self.on_payload(blob.text)

    def _send(self, packet: bytes, but: object) -> None:
        for address in self.neighbours:
            if address != but:
                self.endpoint.send(address, packet)


async def run(count: int) -> Result:
    """Measure the flood, then the broadcast."""
    result = Result()
    result.add_versions("pyipv8", "pynacl", "uvloop")
    for way in ("flood", "broadcast"):
        await _measure(count, way, result)
    return result


async def _measure(count: int, way: str, result: Result) -> None:
    now_under: list[Load] = []
    nodes = [await _node(lambda payload: now_under[-1].arrived(payload)) for _ in range(count)]
    addresses = [UDPv4Address(HOST, each.endpoint._port) for each in nodes]
    for node, own in zip(nodes, addresses, strict=True):
        node.neighbours = [each for each in addresses if each != own]
        node.hands_on = way == "flood"

    def publish(publisher: int, payload: bytes) -> None:
        nodes[publisher].publish(payload)

    now_under.append(Load(count - 1))
    await open_loop(now_under[-1], publish, count)
    result.note_open(f"pyipv8 {way} {count}", now_under[-1])
    now_under.append(Load(count - 1))
    await closed_loop(now_under[-1], publish, count)
    result.note_closed(f"pyipv8 {way} {count}", now_under[-1])
    for node in nodes:
        await node.unload()
        node.endpoint.close()


async def _node(on_payload: Callable[[bytes], None]) -> Flooders:
    endpoint = UDPEndpoint(port=FIRST_PORT, ip=HOST)
    await endpoint.open()
    peer = Peer(default_eccrypto.generate_key("curve25519"))
    node = Flooders(CommunitySettings(my_peer=peer, endpoint=endpoint, network=Network()))
    node.on_payload = on_payload
    return node


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]))).print()
