"""The demo's checks of trade and money: each flaw of the story fails the one check for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.demo_facts import (
    BUYER,
    PAYMENT,
    entry,
    flawless_facts,
    set_ledger,
)
from voidlux_site.demo.checks import run_checks
from voidlux_site.demo.money_checks import adds_up, replay

Facts = dict[str, Any]


def failed(facts: Facts) -> list[str]:
    return [check.name for check in run_checks(facts) if not check.ok]


def text_of(facts: Facts, name: str) -> str:
    return next(check.text for check in run_checks(facts) if check.name == name)


def test_a_flawless_trade_is_told_in_sums() -> None:
    texts = {check.name: check.text for check in run_checks(flawless_facts())}

    assert texts["rejected"] == (
        "vega refused helios (not_allowed: the buyer is not on the seller's allow-list); "
        "the 5 VOID that were held for it came back"
    )
    assert texts["expired"] == (
        "vega was killed, and nobody renewed its offering: "
        "it ran out by itself on andromeda, helios"
    )
    assert texts["partial"] == (
        "of 2 tasks bought of andromeda for 24 VOID, 1 done and 1 not used: "
        "12 VOID paid, 12 given back"
    )
    assert texts["agreement"] == "buyer and sellers hold the same 2 tributes"
    assert texts["payments"] == "12 VOID paid for 1 accepted results, each exactly once"
    assert texts["money"] == (
        "no VOID was made or lost: balances 3000 + paid but not yet earned 0, granted 3000, "
        "still held 0"
    )
    assert texts["statements"] == "every statement adds up to its wallet, 9 entries in all"
    assert texts["verified"] == (
        "`ledger verify` finds no difference on any node, the killed one included; "
        "entries: helios 6, andromeda 2, vega 1"
    )


def nothing_hired(facts: Facts) -> None:
    buyer, seller, _ = facts["nodes"]
    for node in (buyer, seller):
        node["tributes"][0].update(executions=[], status="cancelled")
    set_ledger(buyer, [*buyer["ledger"][:4], entry("release", "all", 24, 1000, 0)])
    set_ledger(seller, seller["ledger"][:1])


def another_rejected(facts: Facts) -> None:
    for node in facts["nodes"][:2]:
        tribute = {**node["tributes"][0], "id": "8d" * 16, "executions": []}
        node["tributes"].append({**tribute, "status": "rejected"})


def stranger_accepted(facts: Facts) -> None:
    for node in (facts["nodes"][0], facts["nodes"][2]):
        node["tributes"][-1].update(status="cancelled", reason_code="cancelled")


def refused_for_another_reason(facts: Facts) -> None:
    facts["nodes"][0]["tributes"][1]["reason_code"] = "no_idle_agents"


def offering_still_live(facts: Facts) -> None:
    facts["outage"]["offerings"]["andromeda"]["state"] = "live"


def offering_withdrawn(facts: Facts) -> None:
    facts["outage"]["offerings"]["helios"]["state"] = "withdrawn"


def offering_unknown_to_a_node(facts: Facts) -> None:
    del facts["outage"]["offerings"]["andromeda"]


def expired_before_the_kill(facts: Facts) -> None:
    facts["outage"]["killed_at"] = "2030-01-01T00:00:08.100000+00:00"


def used_to_the_full(facts: Facts) -> None:
    for node in facts["nodes"][:2]:
        node["tributes"][0]["task_count"] = 1


def rest_not_exact(facts: Facts) -> None:
    buyer = facts["nodes"][0]
    more = [entry("hold", "x", 1, 988, 1), entry("release", "y", 1, 988, 0)]
    set_ledger(buyer, [*buyer["ledger"], *more])


def sides_disagree(facts: Facts) -> None:
    facts["nodes"][1]["tributes"][0]["tx_hash"] = "0xother"


def wallet_differs_from_ledger(facts: Facts) -> None:
    facts["nodes"][1]["wallet"]["balance"] += 1
    facts["nodes"][1]["statement"]["closing"]["balance"] += 1
    facts["nodes"][1]["statement"]["totals"]["credit"]["amount"] += 1


def statement_lacks_an_entry(facts: Facts) -> None:
    facts["nodes"][0]["statement"]["entries"].pop()


def statement_sums_are_wrong(facts: Facts) -> None:
    facts["nodes"][1]["statement"]["totals"]["credit"]["amount"] += 1


def still_held(facts: Facts) -> None:
    buyer = facts["nodes"][0]
    set_ledger(buyer, [*buyer["ledger"], entry("hold", "more", 5, 988, 5, tribute_id="9" * 32)])


def books_differ(facts: Facts) -> None:
    difference = {"where": "entry 3", "expected": "988", "found": "987"}
    facts["nodes"][2]["verified"].update(ok=False, exit_code=1, difference=difference)


def verifying_failed(facts: Facts) -> None:
    facts["nodes"][1]["verified"]["exit_code"] = 1


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (nothing_hired, ["hired", "partial"]),
        (another_rejected, ["hired"]),
        (stranger_accepted, ["rejected"]),
        (refused_for_another_reason, ["rejected"]),
        (offering_still_live, ["expired"]),
        (offering_withdrawn, ["expired"]),
        (offering_unknown_to_a_node, ["expired"]),
        (expired_before_the_kill, ["expired"]),
        (used_to_the_full, ["partial"]),
        (rest_not_exact, ["partial"]),
        (sides_disagree, ["agreement"]),
        (wallet_differs_from_ledger, ["money"]),
        (still_held, ["money"]),
        (statement_lacks_an_entry, ["statements"]),
        (statement_sums_are_wrong, ["statements"]),
        (books_differ, ["verified"]),
        (verifying_failed, ["verified"]),
    ],
)
def test_a_flaw_fails_its_check(spoil: Callable[[Facts], None], expected: list[str]) -> None:
    facts = flawless_facts()

    spoil(facts)

    assert failed(facts) == expected


def test_a_result_that_is_not_paid_fails() -> None:
    facts = flawless_facts()
    buyer, seller, _ = facts["nodes"]
    set_ledger(buyer, [*buyer["ledger"][:4], entry("release", "all", 24, 1000, 0)])
    set_ledger(seller, seller["ledger"][:1])

    assert failed(facts) == ["partial", "payments"]


def test_a_result_paid_twice_fails() -> None:
    facts = flawless_facts()
    buyer, seller, _ = facts["nodes"]
    twice = [entry("hold", "more", 12, 988, 12), entry("capture", "twice", 12, 976, 0)]
    set_ledger(buyer, [*buyer["ledger"], *twice])
    set_ledger(seller, [*seller["ledger"], entry("credit", "twice", 12, 1024, 0)])

    assert failed(facts) == ["partial", "payments"]


def test_money_on_its_way_is_counted() -> None:
    facts = flawless_facts()
    seller = facts["nodes"][1]
    set_ledger(seller, seller["ledger"][:1])

    assert "balances 2988 + paid but not yet earned 12, granted 3000" in text_of(facts, "money")
    assert failed(facts) == ["payments"]


def test_a_difference_is_named_with_its_node() -> None:
    facts = flawless_facts()
    books_differ(facts)

    assert text_of(facts, "verified") == (
        "`ledger verify` fails on vega: entry 3, expected 988, found 987"
    )


def test_replay_adds_up_a_ledger() -> None:
    ledger = [
        entry("grant", "genesis", 100, 100, 0),
        entry("hold", "a", 40, 100, 40),
        entry("capture", PAYMENT, 10, 90, 30),
        entry("release", "b", 30, 90, 0),
        entry("credit", "c", 5, 95, 0),
    ]
    node: Facts = {"node_id": BUYER}

    set_ledger(node, ledger)

    assert replay(ledger) == (95, 0)
    assert adds_up(node["statement"])


def test_replay_refuses_a_ledger_that_contradicts_itself() -> None:
    assert replay([entry("grant", "genesis", 100, 90, 0)]) == (-1, -1)
