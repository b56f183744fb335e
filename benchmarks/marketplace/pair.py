"""A buyer and a seller as real nodes on this machine, and a look into their databases."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.swarm.begin import make_remote

if TYPE_CHECKING:
    from voidlux_site.demo.nodes import NodeProcess

WITHIN_S = 60.0
LOOK_EVERY_S = 0.001
PRICE = 1
DATABASE = "voidlux.sqlite3"
# A subtask that no agent of the seller can do: what is bought for its goal is never assigned.
NEGOTIATED_ONLY = "# Negotiate\n\n- [ ] Wait\n  needs: patience\n  ```sh\n  true\n  ```\n"


class Ledger:
    """Read-only questions to a node's database, which do not keep the node from its work."""

    def __init__(self, home: Path) -> None:
        """Open the database of a home that has one."""
        path = f"file:{home / DATABASE}?mode=ro"
        self._database = sqlite3.connect(path, uri=True, check_same_thread=False)

    def rows(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a SELECT."""
        return self._database.execute(question, values).fetchall()

    def status(self, tribute_id: str) -> str:
        """Return the status of a tribute, "" where there is none."""
        found = self.rows("SELECT status FROM marketplace_tribute WHERE id = ?", tribute_id)
        return str(found[0][0]) if found else ""

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@dataclass
class Pair:
    """The two nodes, their databases and a remote that both can write."""

    buyer: NodeProcess
    seller: NodeProcess
    bought: Ledger
    sold: Ledger
    remote: Path

    def post_goal(self, node: NodeProcess, text: str) -> str:
        """Submit a goal and return its id."""
        body = {"description": text, "repository": str(self.remote), "test_command": "true"}
        return str(node.api.post("/tasks", body)["id"])

    def planned_goal(self, text: str) -> str:
        """Submit a goal at the buyer, wait until it is planned, and return its id."""
        goal_id = self.post_goal(self.buyer, text)
        wait(lambda: self.goal_status(self.bought, goal_id) == "in_progress")
        return goal_id

    def goal_status(self, database: Ledger, goal_id: str) -> str:
        """Return the status of a goal at the node of a database."""
        return str(database.rows("SELECT status FROM swarm_task WHERE id = ?", goal_id)[0][0])

    def offering(self, idle_agents: int) -> str:
        """Wait until the buyer sees so many idle agents of the seller; the offering's id."""

        def look() -> list[str]:
            shown = self.buyer.api.items("/offerings")
            return [each["id"] for each in shown if each["idle_agents"] >= idle_agents]

        return str(wait(look)[0])

    def books_are_right(self) -> bool:
        """Tell whether `manage.py ledger verify` finds nothing at either node."""
        return all(_is_verified(node) for node in (self.buyer, self.seller))


@contextlib.contextmanager
def trading_pair(agents: int) -> Iterator[Pair]:
    """Start a buyer without agents and a seller of `agents` that trust each other; linked."""
    with tempfile.TemporaryDirectory(prefix="vlt-") as name:
        folder = Path(name).resolve()
        os.environ.update(DJANGO_SETTINGS_MODULE="voidlux_site.settings", VOIDLUX_HOME=name)
        import django

        django.setup()
        from voidlux_site.demo.nodes import HOST, NodePlan, NodeProcess, free_ports

        ports = free_ports(4)
        common: dict[str, Any] = {"part": "", "batch_wait_s": 0.0}
        buyer_plan = NodePlan(name="buyer", swarm="buyers", agents=0, **common)
        seller_plan = NodePlan(name="seller", swarm="sellers", agents=agents, price=PRICE, **common)
        buyer = NodeProcess(buyer_plan, folder, (ports[0], ports[1]))
        seller = NodeProcess(seller_plan, folder, (ports[2], ports[3]))
        secret = "the secret of a benchmark"
        try:
            buyer.start(seeds="", allow_nodes=seller.node_id, secret=secret)
            seller.start(seeds=f"{HOST}:{buyer.p2p_port}", allow_nodes=buyer.node_id, secret=secret)
            wait(lambda: buyer.is_ready() and seller.is_ready())
            remote = make_remote(folder, 20)
            pair = Pair(buyer, seller, Ledger(buyer.home), Ledger(seller.home), remote)
            pair.offering(agents)
            yield pair
            pair.bought.close()
            pair.sold.close()
        finally:
            for node in (buyer, seller):
                node.ask_to_stop()
            for node in (buyer, seller):
                node.finish(time.monotonic() + WITHIN_S)


def wait(condition: Callable[[], Any], look_every_s: float = LOOK_EVERY_S) -> Any:
    """Return the first true value of `condition`; TimeoutError after a minute."""
    ends_at = time.monotonic() + WITHIN_S
    while not (value := condition()):
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {WITHIN_S:g} s")
        time.sleep(look_every_s)
    return value


def _is_verified(node: NodeProcess) -> bool:
    done = node.manage("ledger", "verify")
    print(node.plan.name, done.stdout.strip(), done.stderr.strip()[-300:], file=sys.stderr)
    return done.returncode == 0
