"""Facts of a small, flawless demo as plain data; tests spoil one thing at a time."""

from __future__ import annotations

from typing import Any

BUYER, SELLER = "b" * 32, "5" * 32
BASE, FIRST_TRY, SECOND_TRY, HEAD = "0" * 40, "1" * 40, "2" * 40, "f" * 40
TASK, OWN_TASK, GOAL, TRIBUTE, PAYMENT = "a1" * 16, "a2" * 16, "90" * 16, "7d" * 16, "9a" * 16
REFUSED, OFFERING, STRANGER = "7e" * 16, "0f" * 16, "e" * 32
PRICE = 12
STRANGERS_PRICE = 5
GONE = "process 4711 is gone without an exit on record; its block, process group 4712, still runs"


def flawless_facts() -> dict[str, Any]:
    """Return facts of three nodes: a rework that was sold, own work, a refusal and a kill."""
    return {
        "version": 3,
        "nodes": [
            _node("helios", BUYER, _buyer_ledger(), [tribute(), refused_tribute()]),
            _node("andromeda", SELLER, _seller_ledger(), [tribute()]),
            _node("vega", STRANGER, _grant(), [refused_tribute()]),
        ],
        "outage": {
            "seller": "vega",
            "tribute_id": REFUSED,
            "offering_id": OFFERING,
            "killed_at": "2030-01-01T00:00:02.500000+00:00",
            "offerings": {"helios": _ended_offering(), "andromeda": _ended_offering()},
        },
        "goal": {
            "id": GOAL,
            "title": "Telemetry",
            "status": "completed",
            "error": "",
            "merged_commit": HEAD,
            "events": [],
        },
        "subtasks": [_sold_subtask(), _own_subtask()],
        "evidence": {
            "merge_runs": [
                {**_merge_run("split", FIRST_TRY, 1), "tasks": [TASK, OWN_TASK]},
                _merge_run("red", FIRST_TRY, 1),
                _merge_run("merged", HEAD, 2),
            ],
            "test_runs": [_test_run(1, FIRST_TRY, False), _test_run(2, HEAD, True)],
        },
        "remote": {
            "branch": "integrate/90909090",
            "head": HEAD,
            "base_commit": BASE,
            "integrated": [TASK, OWN_TASK],
            "tests": {
                "command": "python3 -m unittest discover -q",
                "commit": HEAD,
                "exit_code": 0,
                "tests_ran": 12,
                "output": "Ran 12 tests",
            },
            "product": "readings  6",
        },
        "timings": {"nodes_up_s": 3.0, "goal_s": 14.0, "agent_work_s": 20.0, "settled_s": 18.0},
    }


def tribute() -> dict[str, Any]:
    """Return the one tribute as either side describes it."""
    return {
        "id": TRIBUTE,
        "goal_id": GOAL,
        "from_node_id": BUYER,
        "to_node_id": SELLER,
        "task_count": 2,
        "released_count": 1,
        "price_per_task": PRICE,
        "total_cost": 2 * PRICE,
        "status": "completed",
        "reason_code": "",
        "reason": "1 of 1 executions accepted",
        "tx_hash": "0xdeadbeefdeadbeef",
        "updated_at": "2030-01-01T00:00:09Z",
        "executions": [
            {
                "task_id": TASK,
                "title": "Median",
                "status": "accepted",
                "commit": SECOND_TRY,
                "payment": "committed",
                "closed_at": "2030-01-01T00:00:09Z",
            }
        ],
    }


def refused_tribute() -> dict[str, Any]:
    """Return the tribute that the seller who does not know the buyer refused."""
    return {
        **tribute(),
        "id": REFUSED,
        "to_node_id": STRANGER,
        "task_count": 1,
        "released_count": 0,
        "price_per_task": STRANGERS_PRICE,
        "total_cost": STRANGERS_PRICE,
        "status": "rejected",
        "reason_code": "not_allowed",
        "reason": "the buyer is not on the seller's allow-list",
        "tx_hash": "",
        "executions": [],
    }


def set_ledger(node: dict[str, Any], ledger: list[dict[str, Any]]) -> None:
    """Give a node other books that agree with themselves: ledger, statement and wallet."""
    last = ledger[-1]
    kinds = ("grant", "hold", "release", "capture", "credit")
    closing = {"balance": last["balance_after"], "held": last["held_after"]}
    node["ledger"] = ledger
    node["wallet"] = dict(closing)
    node["statement"] = {
        "opening": {"balance": 0, "held": 0},
        "entries": list(ledger),
        "totals": {kind: _total(ledger, kind) for kind in kinds},
        "closing": dict(closing),
    }


def subtask(**changes: Any) -> dict[str, Any]:
    """Return a completed subtask without runs and events."""
    return {
        "id": TASK,
        "parent_id": GOAL,
        "number": 1,
        "title": "Median",
        "status": "completed",
        "attempt": 2,
        "attempts_max": 3,
        "assigned_node": SELLER,
        "assigned_agent": "andromeda-555555-1",
        "tribute_id": TRIBUTE,
        "commit": SECOND_TRY,
        "merged_commit": HEAD,
        "progress": "",
        "question": None,
        "updated_at": "2030-01-01T00:00:09Z",
        "events": [],
        "runs": [],
        **changes,
    }


def entry(
    kind: str, reference: str, amount: int, balance: int, held: int, **changes: Any
) -> dict[str, Any]:
    """Return a ledger entry of the tribute."""
    return {
        "kind": kind,
        "reference": reference,
        "tribute_id": None if kind == "grant" else TRIBUTE,
        "counterparty_node_id": {"grant": "", "credit": BUYER}.get(kind, SELLER),
        "note": "" if kind == "grant" else reference[:8],
        "created_at": "2030-01-01T00:00:09Z",
        "amount": amount,
        "balance_after": balance,
        "held_after": held,
        **changes,
    }


def _node(
    name: str, node_id: str, ledger: list[dict[str, Any]], tributes: list[dict[str, Any]]
) -> dict[str, Any]:
    node = {
        "name": name,
        "part": "buyer" if node_id == BUYER else "seller",
        "node_id": node_id,
        "tributes": tributes,
        "troubled_jobs": 0,
        "worktrees": [],
        "verified": {"ok": True, "exit_code": 0, "entries": len(ledger), "difference": None},
    }
    set_ledger(node, ledger)
    return node


def _total(ledger: list[dict[str, Any]], kind: str) -> dict[str, int]:
    amounts = [each["amount"] for each in ledger if each["kind"] == kind]
    return {"count": len(amounts), "amount": sum(amounts)}


def _ended_offering() -> dict[str, Any]:
    return {"id": OFFERING, "state": "expired", "ended_at": "2030-01-01T00:00:08Z"}


def _grant() -> list[dict[str, Any]]:
    return [entry("grant", "genesis", 1000, 1000, 0)]


def _buyer_ledger() -> list[dict[str, Any]]:
    refused = {"tribute_id": REFUSED, "counterparty_node_id": STRANGER}
    return [
        *_grant(),
        entry("hold", TRIBUTE, 24, 1000, 24),
        entry("hold", REFUSED, 5, 1000, 29, **refused),
        entry("release", f"{REFUSED}:all", 5, 1000, 24, **refused),
        entry("capture", PAYMENT, 12, 988, 12),
        entry("release", f"{TRIBUTE}:unused:1", 12, 988, 0),
    ]


def _seller_ledger() -> list[dict[str, Any]]:
    return [
        *_grant(),
        entry("credit", PAYMENT, PRICE, 1012, 0),
    ]


def _sold_subtask() -> dict[str, Any]:
    red = "the tests turned red: 'python3 -m unittest discover -q' ended with 1"
    merged = "22222222 is merged, tested and pushed as ffffffff"
    return subtask(
        events=[
            _event("merging", "pending", "gate", red),
            _event("merging", "completed", "gate", merged),
        ],
        runs=[
            _run(1, SELLER, "andromeda-555555-1", FIRST_TRY, red, hired=True),
            _run(2, SELLER, "andromeda-555555-1", SECOND_TRY, merged, hired=True),
        ],
    )


def _own_subtask() -> dict[str, Any]:
    merged = "33333333 is merged, tested and pushed as ffffffff"
    lost = f"attempt 1 failed: {GONE}"
    return subtask(
        id=OWN_TASK,
        number=2,
        title="Report",
        attempt=2,
        assigned_node=BUYER,
        assigned_agent="helios-bbbbbb-1",
        tribute_id=None,
        question=_question(),
        commit="3" * 40,
        events=[
            _event("in_progress", "pending", "report", lost, code="lost", error=GONE),
            _event("in_progress", "waiting_input", "report", "agent-1 asks: Tabs or spaces?"),
            _event("waiting_input", "waiting_input", "operator", "answered: tabs"),
            _event("waiting_input", "in_progress", "report", "agent-1 has the answer"),
            _event("merging", "pending", "gate", "conflicts", conflicts=["README.md"]),
            _event("merging", "completed", "gate", merged),
        ],
        runs=[
            {
                **_run(1, BUYER, "helios-bbbbbb-1", "", lost, hired=False),
                "status": "failed",
                "error": GONE,
            },
            _run(2, BUYER, "helios-bbbbbb-1", "3" * 40, merged, hired=False),
        ],
    )


def _question() -> dict[str, Any]:
    return {
        "text": "Tabs or spaces?",
        "choices": [],
        "number": 1,
        "open": False,
        "asked_at": "2030-01-01T00:00:05Z",
        "answer": "tabs",
        "answered_at": "2030-01-01T00:00:06.500000Z",
    }


def _event(source: str, target: str, by: str, reason: str, **evidence: Any) -> dict[str, Any]:
    return {
        "source": source,
        "target": target,
        "by": by,
        "reason": reason,
        "evidence": evidence,
        "at": "2030-01-01T00:00:07Z",
    }


def _run(
    attempt: int, node_id: str, agent: str, commit: str, outcome: str, *, hired: bool
) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "node_id": node_id,
        "agent": agent,
        "hired": hired,
        "commit": commit,
        "status": "succeeded",
        "error": "",
        "seconds": 2.5,
        "outcome": outcome,
        "kept": True,
    }


def _merge_run(outcome: str, head: str, test_run_id: int) -> dict[str, Any]:
    return {
        "tasks": [TASK],
        "outcome": outcome,
        "base_commit": BASE,
        "head_commit": head,
        "test_run_id": test_run_id,
    }


def _test_run(number: int, commit: str, passed: bool) -> dict[str, Any]:
    state = "passed" if passed else "failed"
    return {"id": number, "commit": commit, "passed": passed, "state": state, "duration_ms": 200}
