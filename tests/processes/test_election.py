"""Three real nodes elect another emperor when theirs is killed, and when it gives the office up."""

from __future__ import annotations

from typing import Any

from tests.processes.conftest import MakeNode
from tests.support.nodes import RealNode, start_all
from tests.support.waiting import wait_for

FAST = {
    "swarm": "helios",
    "auth_secret": "a secret of sixteen or more",
    "emperor_heartbeat_s": "0.5",
    "emperor_stale_s": "2.5",
    "candidacy_s": "0.5",
    "lease_s": "10",
}


def three(make_node: MakeNode) -> tuple[RealNode, RealNode, RealNode]:
    emperor = make_node("emperor", worker=False, role="emperor", **FAST)
    seeds = {"seeds": emperor.address, "role": "worker"}
    first = make_node("first", worker=False, **seeds, **FAST)
    second = make_node(
        "second", worker=False, **{**seeds, "seeds": f"{emperor.address},{first.address}"}, **FAST
    )
    start_all(emperor, first, second)
    return emperor, first, second


def followed(node: RealNode) -> tuple[str, int] | None:
    emperor: dict[str, Any] | None = node.get("/election")["emperor"]
    return None if emperor is None else (emperor["node_id"], emperor["term"])


async def test_a_killed_emperor_is_replaced_and_follows_when_it_is_back(
    make_node: MakeNode,
) -> None:
    emperor, *others = three(make_node)
    await wait_for(lambda: all(followed(node) == (emperor.node_id, 1) for node in others))
    heir = min(others, key=lambda node: node.node_id)

    emperor.kill9()

    await wait_for(lambda: all(followed(node) == (heir.node_id, 2) for node in others))
    assert heir.get("/status")["emperor"]["is_self"]
    assert heir.get("/election")["standing"] == "emperor"

    emperor.start()

    await wait_for(lambda: followed(emperor) == (heir.node_id, 2))
    assert emperor.get("/election")["standing"] == "follower"

    def roles() -> dict[str, str]:
        return {peer["node_id"]: peer["role"] for peer in emperor.items("/peers")}

    await wait_for(lambda: roles().get(heir.node_id) == "emperor")
    passed_on = emperor.post("/tasks", {"description": "- [ ] x", "repository": "/r.git"})
    assert passed_on["emperor_node_id"] == heir.node_id


async def test_an_emperor_that_gives_the_office_up_is_followed_by_another(
    make_node: MakeNode,
) -> None:
    emperor, *others = three(make_node)
    await wait_for(lambda: all(followed(node) == (emperor.node_id, 1) for node in others))
    await wait_for(lambda: bool(emperor.get("/election")["members"]))
    heir = min(others, key=lambda node: node.node_id)

    assert emperor.api.post("/election/abdicate", json={}).status_code == 202

    everybody = (emperor, *others)
    await wait_for(lambda: all(followed(node) == (heir.node_id, 2) for node in everybody))
    assert emperor.get("/election")["standing"] == "follower"
