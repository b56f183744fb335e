"""One job traded between real nodes: submitted, hired, followed to its end, and its books."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.git_remote import GitRemote
from tests.support.nodes import DATABASE, ROOT, RealNode
from tests.support.waiting import wait_for

ENDED = frozenset({"completed", "failed", "cancelled"})
CALC = "def one():\n    return 1\n"
TEST_CALC = """import unittest

import calc


class CalcTest(unittest.TestCase):
    def test_one(self):
        self.assertEqual(calc.one(), 1)
"""
UNITTEST = "python3 -m unittest -q"


def small_repository(folder: Path) -> GitRemote:
    """Return a bare remote with a small Python project that tests itself with unittest."""
    folder.mkdir(parents=True, exist_ok=True)
    remote = GitRemote(folder)
    remote.push("main", {"calc.py": CALC, "test_calc.py": TEST_CALC})
    return remote


def gate_file(path: Path) -> str:
    """Return a shell line that waits until `path` exists, so that a test decides when."""
    return f"while [ ! -e {path} ]; do sleep 0.05; done"


def left_at_work(node: RealNode, name: str) -> Path | None:
    """Return a file that a block of the node's has written in its worktree; None while it is not.

    Sold work can write nowhere else.
    """
    return next(node.home.glob(f"worktrees/*/{name}"), None)


def hold_pushes(remote: GitRemote, arrived: Path, go: Path) -> None:
    """Let pushes of task branches wait at the remote until `go` exists; `arrived` tells of one."""
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\nwhile read -r _ _ ref; do\n"
        f'  case "$ref" in refs/heads/task/*) touch {arrived}; {gate_file(go)} ;; esac\ndone\n'
    )
    hook.chmod(0o755)


def outline(*blocks: str, in_turn: bool = False) -> str:
    """Return a goal with one subtask per shell block; each also writes a module of its own.

    `in_turn` lets each wait for the one before it.
    """
    items = (
        f"- [ ] Part {number}{f' (after: {number - 1})' if in_turn and number > 1 else ''}\n"
        f"  ```sh\n  {block}\n  echo 'V = {number}' > part{number}.py\n  ```\n"
        for number, block in enumerate(blocks, 1)
    )
    return "# Add parts\n\n" + "\n".join(items)


@dataclass(frozen=True)
class Deal:
    """A goal at its buyer and the tribute that pays for its subtasks."""

    buyer: RealNode
    goal_id: str
    tribute_id: str = ""

    def goal(self) -> dict[str, Any]:
        """Return the goal as the API shows it."""
        shown: dict[str, Any] = self.buyer.get(f"/tasks/{self.goal_id}")
        return shown

    def subtasks(self) -> list[dict[str, Any]]:
        """Return the goal's subtasks in plan order."""
        return self.buyer.items(f"/tasks/{self.goal_id}/subtasks")

    def statuses(self) -> list[str]:
        """Return the subtasks' statuses in plan order."""
        return [task["status"] for task in self.subtasks()]

    def reasons(self, number: int = 1) -> list[tuple[str, str]]:
        """Return (target, reason) of each transition of a subtask, oldest first."""
        task = self.subtasks()[number - 1]
        events = self.buyer.items(f"/tasks/{task['id']}/events")
        return [(event["target"], event["reason"]) for event in events]

    def tribute(self) -> dict[str, Any]:
        """Return the tribute as its buyer shows it."""
        shown: dict[str, Any] = self.buyer.get(f"/tributes/{self.tribute_id}")
        return shown

    def executions(self) -> list[tuple[str, str | None]]:
        """Return (status, payment) of each execution at the buyer."""
        return [(each["status"], each["payment"]) for each in self.tribute()["executions"]]

    async def ended(self, timeout_s: float = 40.0) -> dict[str, Any]:
        """Wait for the goal's end and return it."""
        return await wait_for(
            lambda: goal if (goal := self.goal())["status"] in ENDED else None, timeout_s
        )


async def submit(
    buyer: RealNode,
    repository: Path | str,
    *blocks: str,
    test_command: str = UNITTEST,
    in_turn: bool = False,
) -> Deal:
    """Submit a goal with a subtask per block and wait until it is planned."""
    goal = buyer.post(
        "/tasks",
        {
            "description": outline(*blocks, in_turn=in_turn),
            "repository": str(repository),
            "test_command": test_command,
        },
    )
    deal = Deal(buyer, goal["id"])
    await wait_for(lambda: deal.goal()["status"] != "planning")
    return deal


async def offering_of(buyer: RealNode, seller: RealNode, *, idle_agents: int) -> dict[str, Any]:
    """Wait until the buyer sees at least so many idle agents of the seller; its offering."""

    def look() -> dict[str, Any] | None:
        live = [each for each in buyer.items("/offerings") if each["node_id"] == seller.node_id]
        return next((each for each in live if each["idle_agents"] >= idle_agents), None)

    return await wait_for(look)


def request(deal: Deal, offering: dict[str, Any], task_count: int) -> httpx.Response:
    """Request a tribute and return whatever the API answers."""
    body = {"offering_id": offering["id"], "task_count": task_count, "goal_id": deal.goal_id}
    return deal.buyer.api.post("/tributes", json=body)


async def hire(deal: Deal, seller: RealNode, task_count: int = 1) -> Deal:
    """Buy executions for the goal from the seller; returns once the request is sent."""
    offering = await offering_of(deal.buyer, seller, idle_agents=task_count)
    answer = request(deal, offering, task_count)
    assert answer.status_code == 201, answer.text
    return Deal(deal.buyer, deal.goal_id, answer.json()["id"])


def ledger(node: RealNode) -> list[dict[str, Any]]:
    """Return a node's ledger, oldest entry first."""
    return list(reversed(node.items("/wallet/ledger")))


def money(node: RealNode) -> tuple[int, int]:
    """Return a node's balance and held amount in VOID."""
    wallet = node.get("/wallet")
    return wallet["balance"], wallet["held"]


def references(node: RealNode, kind: str) -> list[str]:
    """Return what a node's entries of a kind refer to, oldest first."""
    return [entry["reference"] for entry in ledger(node) if entry["kind"] == kind]


def assert_books(nodes: Sequence[RealNode], *, grants: int) -> None:
    """Assert that each ledger adds up, nothing was paid twice, and no VOID came or went.

    Balances and what is captured but not yet credited are the grants together.
    """
    captured: dict[str, int] = {}
    credited: dict[str, int] = {}
    for node in nodes:
        entries = ledger(node)
        _assert_adds_up(node, entries)
        captured |= {e["reference"]: e["amount"] for e in entries if e["kind"] == "capture"}
        credited |= {e["reference"]: e["amount"] for e in entries if e["kind"] == "credit"}
        _assert_paid_once(node)
    assert credited.items() <= captured.items()
    underway = sum(amount for reference, amount in captured.items() if reference not in credited)
    assert sum(money(node)[0] for node in nodes) + underway == grants


def _assert_adds_up(node: RealNode, entries: Sequence[dict[str, Any]]) -> None:
    effects = {
        "grant": (1, 0),
        "hold": (0, 1),
        "release": (0, -1),
        "capture": (-1, -1),
        "credit": (1, 0),
    }
    balance = held = 0
    for entry in entries:
        of_balance, of_held = effects[entry["kind"]]
        balance += of_balance * entry["amount"]
        held += of_held * entry["amount"]
        assert (entry["balance_after"], entry["held_after"]) == (balance, held), entry
        assert 0 <= held <= balance, entry
    assert money(node) == (balance, held)
    doubled = Counter((entry["kind"], entry["reference"]) for entry in entries)
    assert set(doubled.values()) <= {1}, doubled


def _assert_paid_once(node: RealNode) -> None:
    """Each accepted execution of this node's purchases was captured once, nothing else was."""
    bought = [t for t in node.items("/tributes") if t["from_node_id"] == node.node_id]
    for tribute in bought:
        entries = [entry for entry in ledger(node) if entry["tribute_id"] == tribute["id"]]
        captures = [entry["amount"] for entry in entries if entry["kind"] == "capture"]
        accepted = [each for each in tribute["executions"] if each["status"] == "accepted"]
        assert captures == [tribute["price_per_task"]] * len(accepted), tribute


def verify_ledger(*nodes: RealNode) -> None:
    """Assert that `manage.py ledger verify` finds no difference in the nodes' homes."""
    command = [sys.executable, "manage.py", "ledger", "verify"]
    checks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=node.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in nodes
    ]
    said = [check.communicate()[0] for check in checks]
    assert [check.returncode for check in checks] == [0] * len(nodes), "\n".join(said)


def movements(node: RealNode, tribute_id: str) -> list[tuple[str, int]]:
    """Return (kind, amount) of each entry of a node's ledger under a tribute, oldest first."""
    return [(e["kind"], e["amount"]) for e in ledger(node) if e["tribute_id"] == tribute_id]


def is_sent(node: RealNode, message_number: int) -> bool:
    """Tell whether the last message of a kind that the node has written went over a link."""
    with sqlite3.connect(f"file:{node.home / DATABASE}?mode=ro", uri=True) as database:
        row = database.execute(
            "SELECT attempts FROM p2p_outboxmessage WHERE number = ? ORDER BY id DESC LIMIT 1",
            (message_number,),
        ).fetchone()
    database.close()
    return row is not None and row[0] > 0
