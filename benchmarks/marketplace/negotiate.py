"""From the request of a tribute to its acceptance, between two real nodes.

    python -m benchmarks.marketplace.negotiate [rounds]

A round begins when the buyer writes the request and ends when its acceptance is committed at the
buyer: two commits and two doorbells on each side, two messages over TLS, two batches of an inbox.
What is bought is given back before the next round. Rounds of a remote that the seller has never
tried stand beside those of one that it has tried in the last minutes.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.marketplace.pair import NEGOTIATED_ONLY, Ledger, Pair, trading_pair, wait
from benchmarks.swarm.result import print_rounds
from swarm.git.command import run_git

KNOWN = "request to accept, remote tried before"
NEW = "request to accept, remote never tried"
# Parts of the way, by the times that both nodes keep.
STAGES = ("request to the seller", "admission", "acceptance to the buyer")
FIRST_FEW = 3


def main(rounds: int) -> None:
    """Measure and print, in milliseconds; the first rounds, with cold caches, do not count."""
    found: dict[str, list[float]] = {}
    with trading_pair(agents=2) as pair:
        main_remote = pair.remote
        for number in range(rounds // 4 + 1):
            pair.remote = _copy_of(main_remote, number)
            goal_id = pair.planned_goal(NEGOTIATED_ONLY)
            _note(found, negotiate(pair, goal_id), NEW if number else "")
        pair.remote = main_remote
        goal_id = pair.planned_goal(NEGOTIATED_ONLY)
        for number in range(rounds + FIRST_FEW):
            _note(found, negotiate(pair, goal_id), KNOWN if number >= FIRST_FEW else "")
    print_rounds("ms", found)


def negotiate(pair: Pair, goal_id: str) -> list[float]:
    """Buy one execution and give it back; when it was posted, requested, … (Unix seconds)."""
    offering_id = pair.offering(2)
    began_s = time.time()
    body = {"offering_id": offering_id, "task_count": 1, "goal_id": goal_id}
    tribute_id = pair.buyer.api.post("/tributes", body)["id"]
    wait(lambda: pair.bought.status(tribute_id) != "pending")
    ended_s = time.time()
    if pair.bought.status(tribute_id) != "accepted":
        raise RuntimeError(f"the tribute is {pair.bought.status(tribute_id)}")
    requested_s, _ = _times(pair.bought, tribute_id)
    arrived_s, answered_s = _times(pair.sold, tribute_id)
    pair.buyer.api.post(f"/tributes/{tribute_id}/cancel", {})
    wait(lambda: pair.sold.status(tribute_id) == "cancelled")
    return [began_s, requested_s, arrived_s, answered_s, ended_s]


def _note(found: dict[str, list[float]], at: list[float], what: str) -> None:
    """Note a round's way and its stages under a name; nothing where there is none."""
    if not what:
        return
    found.setdefault(what, []).append((at[-1] - at[1]) * 1000)
    found.setdefault(f"{what}, from the POST", []).append((at[-1] - at[0]) * 1000)
    for stage, begin, end in zip(STAGES, at[1:], at[2:], strict=False):
        found.setdefault(f"{what}: {stage}", []).append((end - begin) * 1000)


def _times(database: Ledger, tribute_id: str) -> tuple[float, float]:
    question = "SELECT created_at, updated_at FROM marketplace_tribute WHERE id = ?"
    [(created, updated)] = database.rows(question, tribute_id)
    return _seconds(created), _seconds(updated)


def _seconds(stored: str) -> float:
    return datetime.fromisoformat(stored).replace(tzinfo=UTC).timestamp()


def _copy_of(remote: Path, number: int) -> Path:
    copy = remote.with_name(f"copy-{number}.git")
    run_git(("clone", "-q", "--bare", str(remote), str(copy)))
    return copy


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
