from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from p2p.mesh.conduct import Conduct
from p2p.mesh.doorkeeper import Doorkeeper
from p2p.mesh.settings import Profile
from p2p.protocol.errors import ProtocolError
from p2p.protocol.handshake import PeerIdentity
from tests.support.wire import hello_of, identity_number

NEWCOMER = identity_number(9)


@dataclass
class FakeLink:
    node_id: str
    is_member: bool = False
    is_open: bool = True
    active_at: float = 0.0
    closed: list[str] = field(default_factory=list)

    def close(self, reason: str, detail: str = "") -> None:
        self.is_open = False
        self.closed.append(reason)


class House:
    """A doorkeeper with 20 places, some of which are taken."""

    def __init__(self, *, members: int, strangers: int, known: int = 0) -> None:
        self.links = [FakeLink(f"m{n}", is_member=True) for n in range(members)]
        self.links += [FakeLink(f"s{n}", active_at=float(n)) for n in range(strangers)]
        self.conduct = Conduct(lambda: 0.0)
        self.counted: Counter[str] = Counter()
        self.door = Doorkeeper(
            profile=Profile(swarm="home", secret="a secret of the crew"),
            links_max=20,
            links=self.links,
            conduct=self.conduct,
            count=lambda event: self.counted.update([event]),
        )
        self.door.known_members = frozenset(f"m{n}" for n in range(known))

    def admit(self, *, member: bool, swarm: str = "home") -> None:
        hello = hello_of(NEWCOMER, swarm=swarm)
        peer = PeerIdentity(NEWCOMER.node_id, NEWCOMER.public_key, hello, member)
        self.door.admit(peer, "192.0.2.7")

    def let_go(self) -> list[str]:
        return [link.node_id for link in self.links if link.closed == ["make_room"]]


@pytest.mark.parametrize(
    ("members", "strangers", "known", "fits"),
    [
        (0, 19, 0, True),
        (0, 20, 0, False),
        (0, 17, 2, True),
        (0, 18, 2, False),  # two places are kept for the two that are known
        (0, 15, 9, False),  # and five at the most
        (0, 14, 9, True),
        (3, 14, 9, True),
        (3, 15, 9, False),
        (6, 13, 9, True),
        (6, 14, 9, False),
        (20, 0, 9, False),
    ],
)
def test_strangers_leave_room_for_members(
    members: int, strangers: int, known: int, fits: bool
) -> None:
    house = House(members=members, strangers=strangers, known=known)

    if fits:
        house.admit(member=False)
    else:
        with pytest.raises(ProtocolError, match="too_many_connections"):
            house.admit(member=False)

    assert house.let_go() == []


@pytest.mark.parametrize(
    ("members", "strangers", "let_go"),
    [
        (0, 19, []),
        (0, 20, ["s0"]),
        (4, 16, ["s0"]),
    ],
)
def test_a_member_gets_the_place_of_a_stranger_when_it_needs_it(
    members: int, strangers: int, let_go: list[str]
) -> None:
    house = House(members=members, strangers=strangers)

    house.admit(member=True)

    assert house.let_go() == let_go
    assert house.counted["make_room"] == len(let_go)


@pytest.mark.parametrize(("members", "strangers"), [(5, 15), (20, 0)])
def test_a_sixth_member_pushes_nobody_out(members: int, strangers: int) -> None:
    house = House(members=members, strangers=strangers)

    with pytest.raises(ProtocolError, match="too_many_connections: 20 nodes are linked"):
        house.admit(member=True)

    assert house.let_go() == []


def test_the_one_with_the_lowest_score_goes_first_and_a_closing_one_does_not_count() -> None:
    house = House(members=0, strangers=21)
    house.links[0].is_open = False
    house.conduct.fault("malformed", node_id="s7", host="")
    house.conduct.fault("bad_signature", node_id="s9", host="")

    house.admit(member=True)

    assert house.let_go() == ["s9"]


def test_a_banned_node_is_refused_whatever_the_room() -> None:
    house = House(members=0, strangers=0)
    for _ in range(2):
        house.conduct.fault("bad_signature", node_id=NEWCOMER.node_id, host="")

    with pytest.raises(ProtocolError, match="banned: for 60 more seconds"):
        house.admit(member=True)

    assert not house.door.may_dial(NEWCOMER.node_id)


def test_a_second_connection_of_a_linked_node_needs_no_place() -> None:
    house = House(members=0, strangers=20)
    house.links[3].node_id = NEWCOMER.node_id

    house.admit(member=False)

    assert house.let_go() == []


def test_what_makes_sense_to_dial() -> None:
    house = House(members=0, strangers=20, known=1)

    assert [house.door.may_dial(node_id) for node_id in ("m0", "x", "")] == [True, False, False]
    house.links.pop()
    assert [house.door.may_dial(node_id) for node_id in ("m0", "x", "")] == [True, False, True]
    house.links.pop()
    assert [house.door.may_dial(node_id) for node_id in ("m0", "x", "")] == [True, True, True]
