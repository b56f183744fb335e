"""What must be true of the trade: what was bought, refused, given back, and what ran out."""

from __future__ import annotations

from datetime import datetime

from voidlux_site.demo.check import Check
from voidlux_site.demo.client import Json

# An execution that the buyer's own agent made unnecessary is given back unused.
GOOD_ENDS = frozenset({"completed", "cancelled"})


def check_hired(facts: Json) -> Check:
    """Agents of another swarm did accepted work, and no tribute came to a bad end unplanned."""
    counts = {node["name"]: len(_accepted(node)) for node in facts["nodes"][1:]}
    told = ", ".join(f"{count} by {name}" for name, count in counts.items() if count)
    total = sum(counts.values())
    refused = facts["outage"]["tribute_id"]
    bad = [
        f"; tribute {tribute['id'][:8]} is {tribute['status']}"
        for tribute in facts["nodes"][0]["tributes"]
        if tribute["status"] not in GOOD_ENDS and tribute["id"] != refused
    ]
    text = f"{total} subtasks were done by hired agents of another swarm: {told or 'by nobody'}"
    return Check("hired", total > 0 and not bad, text + "".join(bad))


def check_rejected(facts: Json) -> Check:
    """The seller that does not know the buyer refused it, with a code, and nothing was lost."""
    outage = facts["outage"]
    tribute = _bought(facts).get(outage["tribute_id"])
    if tribute is None:
        return Check("rejected", False, f"the buyer has no tribute of {outage['seller']}")
    back = _total(facts, tribute["id"], "release")
    spent = _total(facts, tribute["id"], "capture")
    ok = tribute["status"] == "rejected" and tribute["reason_code"] == "not_allowed"
    ok = ok and _total(facts, tribute["id"], "hold") == back == tribute["total_cost"] and not spent
    if not ok:
        seen = f"{tribute['status']} {tribute['reason_code']}, {back} VOID came back"
        return Check("rejected", False, f"{outage['seller']} should have refused: {seen}")
    text = f"{outage['seller']} refused {facts['nodes'][0]['name']} ({tribute['reason_code']}: "
    text += f"{tribute['reason']}); the {back} VOID that were held for it came back"
    return Check("rejected", True, text)


def check_expired(facts: Json) -> Check:
    """The offering of the node that was killed ran out by itself on every other node."""
    outage = facts["outage"]
    others = {node["name"] for node in facts["nodes"]} - {outage["seller"]}
    ended = {
        name: datetime.fromisoformat(offering["ended_at"])
        for name, offering in outage["offerings"].items()
        if offering["state"] == "expired"
    }
    missing = sorted(others - ended.keys())
    if missing:
        text = f"the offering of {outage['seller']} has not run out on {', '.join(missing)}"
        return Check("expired", False, text)
    if min(ended.values()) <= datetime.fromisoformat(outage["killed_at"]):
        text = f"the offering of {outage['seller']} ran out before its node was killed"
        return Check("expired", False, text)
    text = f"{outage['seller']} was killed, and nobody renewed its offering: "
    return Check("expired", True, f"{text}it ran out by itself on {', '.join(sorted(ended))}")


def check_partial(facts: Json) -> Check:
    """A tribute was used in part: the part is paid, and exactly the rest came back."""
    for tribute in facts["nodes"][0]["tributes"]:
        accepted = sum(each["status"] == "accepted" for each in tribute["executions"])
        rest = tribute["task_count"] - accepted
        if tribute["status"] != "completed" or not accepted or not rest:
            continue
        price, names = tribute["price_per_task"], _names(facts)
        paid = _total(facts, tribute["id"], "capture")
        back = _total(facts, tribute["id"], "release")
        sums = (paid, back) == (accepted * price, rest * price)
        text = f"of {tribute['task_count']} tasks bought of {names[tribute['to_node_id']]} for "
        text += f"{tribute['total_cost']} VOID, {accepted} done and {rest} not used: "
        text += f"{paid} VOID paid, {back} given back"
        return Check("partial", sums and paid + back == tribute["total_cost"], text)
    return Check("partial", False, "no tribute was used in part")


def check_agreement(facts: Json) -> Check:
    """Buyer and seller tell the same of every tribute."""
    bought = _bought(facts)
    sold = {tribute["id"]: tribute for node in facts["nodes"][1:] for tribute in node["tributes"]}
    differing = [i[:8] for i in bought.keys() | sold.keys() if _deal(bought, i) != _deal(sold, i)]
    if differing or not bought:
        what = ", ".join(sorted(differing)) or "no tribute at all"
        return Check("agreement", False, f"buyer and sellers tell different stories of {what}")
    return Check("agreement", True, f"buyer and sellers hold the same {len(bought)} tributes")


def _deal(tributes: dict[str, Json], tribute_id: str) -> tuple[object, ...] | None:
    tribute = tributes.get(tribute_id)
    if tribute is None:
        return None
    done = sorted((e["task_id"], e["status"], e["commit"]) for e in tribute["executions"])
    terms = ("from_node_id", "to_node_id", "task_count", "total_cost", "status", "tx_hash")
    return (*(tribute[name] for name in terms), done)


def _bought(facts: Json) -> dict[str, Json]:
    return {tribute["id"]: tribute for tribute in facts["nodes"][0]["tributes"]}


def _accepted(node: Json) -> list[Json]:
    done = [each for tribute in node["tributes"] for each in tribute["executions"]]
    return [each for each in done if each["status"] == "accepted"]


def _names(facts: Json) -> dict[str, str]:
    return {node["node_id"]: node["name"] for node in facts["nodes"]}


def _total(facts: Json, tribute_id: str, kind: str) -> int:
    """Return the VOID that the buyer's entries of one kind moved for a tribute."""
    ledger = facts["nodes"][0]["ledger"]
    amounts = (each["amount"] for each in ledger if _is_of(each, tribute_id, kind))
    return sum(amounts)


def _is_of(entry: Json, tribute_id: str, kind: str) -> bool:
    return bool(entry["tribute_id"] == tribute_id and entry["kind"] == kind)
