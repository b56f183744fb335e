from __future__ import annotations

from datetime import timedelta

import pytest

from p2p import nodes
from p2p.models import KnownNode
from tests.support.factories import NOW, make_node

pytestmark = pytest.mark.django_db
WEEK = timedelta(days=7)
MOMENT = timedelta(microseconds=1)
HERE = [{"host": "192.0.2.7", "port": 7101}]
THERE = [{"host": "192.0.2.8", "port": 7101}]


def test_a_node_that_was_not_seen_for_a_week_is_not_dialled() -> None:
    make_node("a" * 32, addresses=HERE, connected=False)

    assert nodes.addresses_of("a" * 32, NOW + WEEK) == HERE
    assert nodes.addresses_of("a" * 32, NOW + WEEK + MOMENT) == []
    assert nodes.addresses_of("b" * 32, NOW) == []


def test_members_of_our_swarm_are_known_with_their_addresses_until_they_expire() -> None:
    make_node("a" * 32, swarm="crew", member=True, addresses=HERE)
    make_node("b" * 32, swarm="crew", member=True, addresses=[], now=NOW + MOMENT)
    make_node("c" * 32, swarm="crew", member=False)
    make_node("d" * 32, swarm="lyra", member=True)

    assert nodes.member_addresses("crew", NOW) == {"a" * 32: HERE, "b" * 32: []}
    assert nodes.member_addresses("crew", NOW + WEEK + MOMENT) == {"b" * 32: []}


def test_the_last_handshake_says_who_is_a_member() -> None:
    for member in (True, False, True):
        nodes.node_up(
            node_id="a" * 32,
            swarm="crew",
            member=member,
            role="worker",
            addresses=HERE,
            http_port=0,
            now=NOW,
        )
        assert KnownNode.objects.get().member is member


@pytest.mark.parametrize(
    ("columns", "after", "addresses"),
    [
        pytest.param({"role": ""}, timedelta(), THERE, id="never met"),
        pytest.param({"role": "worker"}, WEEK, HERE, id="met"),
        pytest.param({"role": "worker"}, WEEK + MOMENT, THERE, id="met, but expired"),
    ],
)
def test_an_offering_moves_only_addresses_that_were_not_proved_lately(
    columns: dict[str, str], after: timedelta, addresses: list[dict[str, object]]
) -> None:
    make_node("a" * 32, addresses=HERE, connected=False, **columns)

    nodes.remember_addresses({"a" * 32: nodes.Heard("crew", THERE)}, NOW + after)

    row = KnownNode.objects.get()
    assert row.addresses == addresses
    assert row.last_seen_at == (NOW if addresses == HERE else NOW + after)


def test_the_addresses_of_a_linked_node_are_left_alone() -> None:
    make_node("a" * 32, role="", addresses=HERE)

    nodes.remember_addresses({"a" * 32: nodes.Heard("crew", THERE)}, NOW)

    assert KnownNode.objects.get().addresses == HERE
