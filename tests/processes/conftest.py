"""Nodes that end with their test, whatever became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nodes import RealNode, start_all

MakeNode = Callable[..., RealNode]  # a name, `worker=False`, variables


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that one word picks or skips all of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.processes)


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    """Return a function that prepares a node of a name; all of them are ended with the test."""
    made: list[RealNode] = []

    def make(name: str, *, worker: bool = True, **variables: str) -> RealNode:
        node = RealNode(tmp_path / name, worker=worker, **variables)
        made.append(node)
        return node

    yield make
    for node in made:
        node.end()


@pytest.fixture
def buyer(make_node: MakeNode) -> RealNode:
    """A node that has no agents of its own; not started yet."""
    return make_node("buyer", swarm="helios")


@pytest.fixture
def seller(make_node: MakeNode, buyer: RealNode, tmp_path: Path) -> RealNode:
    """A node that sells one agent at 5 VOID a task; both trust each other; not started yet.

    What it sells runs in a sandbox where there is one, which sees the files of the test.
    """
    made = make_node(
        "seller",
        swarm="andromeda",
        agents="1",
        sell="on",
        price_per_task="5",
        seeds=buyer.address,
        allow_nodes=buyer.node_id,
        sold_sandbox_paths=str(tmp_path),
    )
    # What it sells is tested without a sandbox then: these tests steer it by files.
    buyer.variables["allow_nodes"] = made.node_id
    return made


@pytest.fixture
def market(buyer: RealNode, seller: RealNode) -> tuple[RealNode, RealNode]:
    """The buyer and the seller, started."""
    start_all(buyer, seller)
    return buyer, seller
