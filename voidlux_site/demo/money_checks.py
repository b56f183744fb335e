"""What must be true of the money: paid once, nothing made or lost, every book provable."""

from __future__ import annotations

from collections.abc import Iterator

from voidlux_site.demo.check import Check
from voidlux_site.demo.client import Json

# What an entry of each kind does to (balance, held), times its amount.
EFFECTS = {
    "grant": (1, 0),
    "credit": (1, 0),
    "hold": (0, 1),
    "release": (0, -1),
    "capture": (-1, -1),
}


def check_payments(facts: Json) -> Check:
    """Each accepted execution is paid exactly once, and nothing else is."""
    owed = sorted(
        (tribute["id"], tribute["price_per_task"])
        for tribute in _buyer(facts)["tributes"]
        for execution in tribute["executions"]
        if execution["status"] == "accepted"
    )
    captured = _entries(_buyer(facts), "capture")
    credited = [entry for node in _sellers(facts) for entry in _entries(node, "credit")]
    paid = sorted((entry["tribute_id"], entry["amount"]) for entry in captured)
    same = sorted(e["reference"] for e in captured) == sorted(e["reference"] for e in credited)
    got = sorted((entry["tribute_id"], entry["amount"]) for entry in credited)
    ok = same and owed == paid == got
    total = sum(amount for _, amount in paid)
    if ok:
        text = f"{total} VOID paid for {len(paid)} accepted results, each exactly once"
        return Check("payments", True, text)
    counts = f"{len(owed)} accepted, {len(captured)} captured, {len(credited)} credited"
    return Check("payments", False, f"payments do not match results: {counts}")


def check_money(facts: Json) -> Check:
    """Balances and captured-not-yet-credited add up to the grants; ledgers explain the wallets."""
    wrong = [node["name"] for node in facts["nodes"] if replay(node["ledger"]) != _purse(node)]
    if wrong:
        return Check(
            "money", False, f"the ledger does not explain the wallet of {', '.join(wrong)}"
        )
    balances = sum(node["wallet"]["balance"] for node in facts["nodes"])
    grants = _total(facts, "grant")
    travelling = _total(facts, "capture") - _total(facts, "credit")
    held = sum(node["wallet"]["held"] for node in facts["nodes"])
    ok = balances + travelling == grants and held == 0
    sums = f"balances {balances} + paid but not yet earned {travelling}"
    sums += f", granted {grants}, still held {held}"
    verb = "no VOID was made or lost" if ok else "VOID does not add up"
    return Check("money", ok, f"{verb}: {sums}")


def check_statements(facts: Json) -> Check:
    """Every wallet's statement is its ledger, and its totals are what the wallet holds."""
    wrong = [node["name"] for node in facts["nodes"] if not _states_its_wallet(node)]
    if wrong:
        return Check("statements", False, f"the statement of {', '.join(wrong)} does not add up")
    count = sum(len(node["statement"]["entries"]) for node in facts["nodes"])
    text = f"every statement adds up to its wallet, {count} entries in all"
    return Check("statements", True, text)


def check_verified(facts: Json) -> Check:
    """`ledger verify` recomputed the books of every node from their evidence, and found them so."""
    found = {node["name"]: node["verified"] for node in facts["nodes"]}
    bad = [_difference(name, each) for name, each in found.items() if not _is_verified(each)]
    if bad:
        return Check("verified", False, f"`ledger verify` fails on {'; '.join(bad)}")
    counts = ", ".join(f"{name} {each['entries']}" for name, each in found.items())
    text = "`ledger verify` finds no difference on any node, the killed one included; entries: "
    return Check("verified", True, text + counts)


def replay(ledger: list[Json]) -> tuple[int, int]:
    """Return the (balance, held) that a ledger's entries add up to; checks each entry's own sums.

    A ledger that contradicts itself gives (-1, -1), which no wallet can hold.
    """
    balance = held = 0
    for entry in ledger:
        balance_sign, held_sign = EFFECTS[entry["kind"]]
        balance += balance_sign * entry["amount"]
        held += held_sign * entry["amount"]
        if (entry["balance_after"], entry["held_after"]) != (balance, held):
            return -1, -1
    return balance, held


def adds_up(statement: Json) -> bool:
    """Tell whether a statement's totals per kind give its closing balance and hold."""
    totals = {kind: total["amount"] for kind, total in statement["totals"].items()}
    sums = tuple(
        statement["opening"][name] + sum(EFFECTS[kind][i] * n for kind, n in totals.items())
        for i, name in enumerate(("balance", "held"))
    )
    return sums == (statement["closing"]["balance"], statement["closing"]["held"])


def _states_its_wallet(node: Json) -> bool:
    shown = node["statement"]
    closing = (shown["closing"]["balance"], shown["closing"]["held"])
    return adds_up(shown) and shown["entries"] == node["ledger"] and closing == _purse(node)


def _is_verified(found: Json) -> bool:
    return bool(found["ok"] and found["exit_code"] == 0)


def _difference(name: str, found: Json) -> str:
    where = found["difference"]
    if where is None:
        return f"{name}: it ended with {found['exit_code']}"
    return f"{name}: {where['where']}, expected {where['expected']}, found {where['found']}"


def _buyer(facts: Json) -> Json:
    buyer: Json = facts["nodes"][0]
    return buyer


def _sellers(facts: Json) -> list[Json]:
    sellers: list[Json] = facts["nodes"][1:]
    return sellers


def _entries(node: Json, kind: str) -> list[Json]:
    return [entry for entry in node["ledger"] if entry["kind"] == kind]


def _all_amounts(facts: Json, kind: str) -> Iterator[int]:
    for node in facts["nodes"]:
        for entry in _entries(node, kind):
            yield entry["amount"]


def _total(facts: Json, kind: str) -> int:
    return sum(_all_amounts(facts, kind))


def _purse(node: Json) -> tuple[int, int]:
    return node["wallet"]["balance"], node["wallet"]["held"]
