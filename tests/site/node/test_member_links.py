"""A node keeps links to members of its swarm, with nobody else's help."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from p2p.mesh.settings import PeerInfo
from tests.support.nodes import HOST, RealNode, start_all
from tests.support.waiting import wait_for
from voidlux_site.node.member_links import dial_missing

SECRET = "a secret of the crew"


class FakeMesh:
    def __init__(self, *, members: int, strangers: int = 0) -> None:
        linked = [(f"m{n}", True) for n in range(members)]
        linked += [(f"s{n}", False) for n in range(strangers)]
        self._peers = [
            PeerInfo(node_id, "crew", member, "worker", HOST, 7101, 9091)
            for node_id, member in linked
        ]
        self.known: list[str] = []
        self.dialled: list[str] = []

    def peers(self) -> list[PeerInfo]:
        return self._peers

    def know_members(self, node_ids: Sequence[str]) -> None:
        self.known = list(node_ids)

    def dial_node(self, node_id: str, addresses: Sequence[Any]) -> None:
        assert addresses == [node_id]
        self.dialled.append(node_id)


@pytest.mark.parametrize(
    ("linked", "known", "dialled"),
    [(0, 0, 0), (0, 3, 3), (1, 3, 2), (0, 9, 5), (3, 9, 2), (5, 9, 0), (7, 9, 0)],
)
def test_as_many_are_dialled_as_are_missing(linked: int, known: int, dialled: int) -> None:
    mesh = FakeMesh(members=linked, strangers=4)
    rows = {f"m{n}": [f"m{n}"] for n in range(known)}

    assert dial_missing(mesh, rows, random.Random(1)) == dialled

    assert len(set(mesh.dialled)) == dialled
    assert set(mesh.dialled) <= set(rows) - {f"m{n}" for n in range(linked)}
    assert mesh.known == list(rows)


def test_others_are_picked_at_another_time() -> None:
    rows = {f"m{n:02}": [f"m{n:02}"] for n in range(40)}
    rounds = []
    for seed in range(5):
        mesh = FakeMesh(members=0)
        dial_missing(mesh, rows, random.Random(seed))
        rounds.append(frozenset(mesh.dialled))

    assert len(set(rounds)) == 5


def test_a_member_without_an_address_is_known_and_not_dialled() -> None:
    mesh = FakeMesh(members=0)

    assert dial_missing(mesh, {"m1": [], "m2": ["m2"]}, random.Random(1)) == 1

    assert (mesh.known, mesh.dialled) == (["m1", "m2"], ["m2"])


@pytest.mark.processes
async def test_members_find_each_other_again_without_a_seed(tmp_path: Path) -> None:
    settings = {"swarm": "crew", "auth_secret": SECRET}
    first = RealNode(tmp_path / "first", **settings)
    second = RealNode(tmp_path / "second", seeds=first.address, **settings)
    try:
        start_all(first, second)
        await wait_for(lambda: [each["member"] for each in second.items("/peers")] == [True])
        for node in (first, second):
            assert node.stop() == 0
        second.variables.pop("seeds")

        start_all(first, second)
        linked = await wait_for(lambda: first.items("/peers"))

        assert [(each["node_id"], each["member"]) for each in linked] == [(second.node_id, True)]
        assert SECRET not in first.log() + second.log()
    finally:
        first.end()
        second.end()
