"""A client that knows only docs/protocol.md, against a real node."""

from __future__ import annotations

import ast
import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nacl.signing import SigningKey

from tests.protocol_client import client as client_module
from tests.protocol_client import wire
from tests.protocol_client.client import OFFERING_ANNOUNCE, OFFERING_WITHDRAW, Client, Refused
from tests.protocol_client.wire import Key
from tests.support.nodes import RealNode, running_node
from tests.support.waiting import wait_for

pytestmark = pytest.mark.processes
HOST = "127.0.0.1"
SECRET = "a secret of the crew"
FIRST_PING_S = 20.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    with running_node(tmp_path_factory.mktemp("node"), worker=False) as running:
        yield running


@pytest_asyncio.fixture
async def client(node: RealNode) -> AsyncIterator[Client]:
    linked = await Client.connect(HOST, node.p2p_port)
    yield linked
    await linked.close()


def offerings(node: RealNode) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in node.get("/offerings?state=all")["items"]}


async def until_state(node: RealNode, offering_id: str, state: str) -> dict[str, Any]:
    await wait_for(lambda: offerings(node).get(offering_id, {}).get("state") == state)
    return offerings(node)[offering_id]


async def received_record(client: Client, offering_id: str) -> wire.Fields:
    def found() -> wire.Fields | None:
        offered = (each for each in client.records if "offering" in each)
        return next((each for each in offered if each["offering"]["id"] == offering_id), None)

    return await wait_for(found)


def imported_by(path: Path) -> set[str]:
    parts = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for part in parts if isinstance(part, ast.Import) for alias in part.names}
    return plain | {str(part.module) for part in parts if isinstance(part, ast.ImportFrom)}


def test_the_client_imports_nothing_of_the_project() -> None:
    imported = {
        name
        for module in (client_module, wire)
        for name in imported_by(Path(str(module.__file__)))
        if name.partition(".")[0] not in sys.stdlib_module_names
    }

    assert imported == {
        "nacl.exceptions",
        "nacl.signing",
        "tests.protocol_client",
        "tests.protocol_client.wire",
    }


async def test_both_sides_prove_themselves_and_answer_pings(node: RealNode, client: Client) -> None:
    await client.ping()

    assert client.node_id == node.get("/status")["node_id"]
    assert client.key.node_id in {each["node_id"] for each in node.get("/peers")["items"]}
    await wait_for(lambda: client.pings_answered, FIRST_PING_S)
    await client.ping()


async def test_an_offering_comes_and_goes(node: RealNode, client: Client) -> None:
    offering_id = client.announce(idle_agents=3, price_per_task=7)
    shown = await until_state(node, offering_id, "live")

    assert shown["node_id"] == client.key.node_id
    assert (shown["swarm"], shown["capabilities"]) == ("visitors", ["python"])
    assert (shown["idle_agents"], shown["price_per_task"], shown["currency"]) == (3, 7, "VOID")

    client.withdraw(offering_id)
    withdrawn = await until_state(node, offering_id, "withdrawn")
    assert withdrawn["withdrawn_at"] is not None


async def test_a_renewal_changes_the_offering_under_its_id(node: RealNode, client: Client) -> None:
    offering_id = client.announce(idle_agents=3, price_per_task=7)
    client.announce(idle_agents=1, price_per_task=9, offering_id=offering_id)

    await wait_for(lambda: offerings(node).get(offering_id, {}).get("price_per_task") == 9)
    assert offerings(node)[offering_id]["idle_agents"] == 1


async def test_records_reach_other_clients_as_they_were_signed(
    node: RealNode, client: Client
) -> None:
    early = await Client.connect(HOST, node.p2p_port)
    offering_id = client.announce(idle_agents=2, price_per_task=4)
    await until_state(node, offering_id, "live")
    late = await Client.connect(HOST, node.p2p_port)
    covered = await late.pull()

    assert covered[client.key.node_id] == 1
    for each in (early, late):  # the client verifies what it receives against its origin
        record = await received_record(each, offering_id)
        assert record["origin"] == client.key.node_id
        await each.close()


async def test_what_was_pulled_is_what_the_node_holds(node: RealNode, client: Client) -> None:
    assert not await client.is_equal()
    offering_id = client.announce(idle_agents=2, price_per_task=4)
    client.announce(idle_agents=1, price_per_task=4, offering_id=offering_id)
    client.withdraw(client.announce(idle_agents=1, price_per_task=6))
    await until_state(node, offering_id, "live")
    await wait_for(lambda: len(offerings(node)) >= 2)

    covered = await client.pull()
    assert covered[client.key.node_id] == 4
    assert await client.is_equal()


async def test_nobody_writes_the_offering_of_another(node: RealNode, client: Client) -> None:
    offering_id = client.announce(idle_agents=2, price_per_task=4)
    await until_state(node, offering_id, "live")
    stranger = await Client.connect(HOST, node.p2p_port)

    stranger.withdraw(offering_id)
    own_id = stranger.announce(idle_agents=1, price_per_task=1)
    await until_state(node, own_id, "live")  # so the withdrawal before it was applied too

    assert offerings(node)[offering_id]["state"] == "live"
    await stranger.close()


async def test_a_tampered_frame_closes_only_its_connection(node: RealNode, client: Client) -> None:
    liar = await Client.connect(HOST, node.p2p_port)
    payload = liar.record(
        OFFERING_WITHDRAW, offering_id="0" * 32, node_id=liar.key.node_id
    ).replace(b'"offering_id":"0', b'"offering_id":"1')
    liar.write(payload)

    assert await liar.closed() == "bad_signature"
    await client.ping()
    assert node.is_healthy()


async def test_an_unsigned_frame_closes_only_its_connection(node: RealNode, client: Client) -> None:
    liar = await Client.connect(HOST, node.p2p_port)
    signed = liar.record(OFFERING_ANNOUNCE, offering={})
    liar.write(signed[: -wire.ENDING_BYTES] + b"}")

    assert await liar.closed() in {"malformed", "unsigned"}
    await client.ping()


async def test_a_node_id_that_is_not_of_the_key_is_refused(node: RealNode) -> None:
    with pytest.raises(Refused) as refused:
        await Client.connect(HOST, node.p2p_port, claimed_node_id="ab" * 16)

    assert refused.value.reason == "identity_mismatch"
    assert node.is_healthy()


async def test_a_response_signed_by_another_key_is_refused(node: RealNode) -> None:
    other = Key(SigningKey.generate())

    with pytest.raises(Refused) as refused:
        await Client.connect(HOST, node.p2p_port, sign=lambda _, covered: other.sign(covered))

    assert refused.value.reason == "bad_signature"
    assert node.is_healthy()


async def test_another_network_is_refused(node: RealNode) -> None:
    with pytest.raises(Refused) as refused:
        await Client.connect(HOST, node.p2p_port, network="elsewhere")

    assert refused.value.reason == "wrong_network"


async def test_a_client_without_tls_is_told_so_at_once(node: RealNode) -> None:
    with pytest.raises(Refused) as refused:
        await Client.connect(HOST, node.p2p_port, with_tls=False)

    assert refused.value.reason == "tls_mismatch"


async def test_a_node_without_tls_takes_clients_without_it_only(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path, worker=False, mesh_tls="off") as plain:
        linked = await Client.connect(HOST, plain.p2p_port, with_tls=False)
        await linked.ping()
        await linked.close()
        with pytest.raises(ssl.SSLError):
            await Client.connect(HOST, plain.p2p_port)

        assert "tls_mismatch: the peer speaks with TLS, this node without TLS" in plain.log()


async def test_only_who_proves_the_secret_of_the_swarm_is_a_member(tmp_path: Path) -> None:
    with running_node(tmp_path, worker=False, swarm="crew", auth_secret=SECRET) as guarded:
        member = await Client.connect(HOST, guarded.p2p_port, swarm="crew", secret=SECRET)
        liar = await Client.connect(HOST, guarded.p2p_port, swarm="crew", secret=SECRET + "?")
        other = await Client.connect(HOST, guarded.p2p_port, swarm="visitors", secret=SECRET)

        linked = [(each, each.is_member_with) for each in (member, liar, other)]
        assert linked == [(member, True), (liar, False), (other, False)]
        log = guarded.log()
        assert f"{liar.key.node_id} at {HOST} names our swarm crew without its secret" in log
        assert SECRET not in log
        for each in (member, liar, other):
            await each.close()


async def test_bytes_that_are_no_frame_cost_only_their_connection(node: RealNode) -> None:
    reader, writer = await asyncio.open_connection(HOST, node.p2p_port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")

    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    assert node.is_healthy()
