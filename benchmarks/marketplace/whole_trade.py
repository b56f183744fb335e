"""A trivial task bought as a tribute, beside the same task done at home.

    python -m benchmarks.marketplace.whole_trade [rounds]

Both ways in turn, by the same agent: the seller's, which does a goal of its own node or one that
the buyer has bought. Home ends when the goal is completed; a tribute ends when it is completed
and its payment is signed by both.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.marketplace.pair import Ledger, Pair, trading_pair, wait
from benchmarks.swarm.result import print_rounds

if TYPE_CHECKING:
    from voidlux_site.demo.nodes import NodeProcess

HOME = "a trivial task done at home"
BOUGHT = "the same task bought, until it is paid"
DELIVERED = "the same task bought, until its goal is completed"
TEXT = "# Goal {0}\n\n- [ ] Say {0}\n  ```sh\n  echo {0} > said-{0}\n  ```\n"


def main(rounds: int) -> None:
    """Measure and print, in milliseconds; the first round of each way does not count."""
    found: dict[str, list[float]] = {}
    with trading_pair(agents=1) as pair:
        for number in range(rounds + 1):
            taken = {HOME: at_home(pair, number), **as_tribute(pair, number)}
            for what, ms in taken.items() if number else ():
                found.setdefault(what, []).append(ms)
    print_rounds("ms", found)


def at_home(pair: Pair, number: int) -> float:
    """Submit the task to the node that has the agent; ms until its goal is completed."""
    _wait_until_idle(pair)
    began_s = time.monotonic()
    goal_id = pair.post_goal(pair.seller, TEXT.format(f"home-{number}"))
    _wait_until_completed(pair, pair.sold, goal_id)
    return (time.monotonic() - began_s) * 1000


def as_tribute(pair: Pair, number: int) -> dict[str, float]:
    """Submit the task to the other node and buy it; ms until it is completed and until paid."""
    _wait_until_idle(pair)
    offering_id = pair.offering(1)
    began_s = time.monotonic()
    goal_id = pair.planned_goal(TEXT.format(f"bought-{number}"))
    body = {"offering_id": offering_id, "task_count": 1, "goal_id": goal_id}
    tribute_id = pair.buyer.api.post("/tributes", body)["id"]
    _wait_until_completed(pair, pair.bought, goal_id)
    delivered_s = time.monotonic()
    wait(lambda: pair.bought.status(tribute_id) == "completed" and _paid(pair.bought, tribute_id))
    return {
        DELIVERED: (delivered_s - began_s) * 1000,
        BOUGHT: (time.monotonic() - began_s) * 1000,
    }


def _wait_until_completed(pair: Pair, database: Ledger, goal_id: str) -> None:
    ended = wait(lambda: _end(pair.goal_status(database, goal_id)))
    if ended != "completed":
        raise RuntimeError(f"the goal is {ended}")


def _end(status: str) -> str:
    return status if status in ("completed", "failed", "cancelled") else ""


def _paid(database: Ledger, tribute_id: str) -> bool:
    question = (
        "SELECT p.status FROM marketplace_payment p JOIN marketplace_execution e "
        "ON p.execution_id = e.id WHERE e.tribute_id = ?"
    )
    return database.rows(question, tribute_id) == [("committed",)]


def _wait_until_idle(pair: Pair) -> None:
    """Let what a round leaves to be cleaned up not slow down the next one."""
    pair.offering(1)
    wait(lambda: not _has_worktrees(pair.seller))


def _has_worktrees(node: NodeProcess) -> bool:
    return any(path.is_file() for path in (node.home / "worktrees").rglob("*"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
