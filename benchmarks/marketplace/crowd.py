"""1,000 tributes negotiated between two real nodes, many at a time, and the books afterwards.

    python -m benchmarks.marketplace.crowd [tributes] [at a time]

Each is requested, accepted and given back by the buyer before it assigns anything. As many are
under way at a time as the seller lets one buyer wait for, less a few.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from benchmarks.marketplace.pair import NEGOTIATED_ONLY, Ledger, Pair, trading_pair, wait
from benchmarks.swarm.result import print_rounds

AT_A_TIME = 16
SPARE_AGENTS = 8
LOOK_EVERY_S = 0.05
RATE = "tributes negotiated"
NOT_ACCEPTED = "tributes that were not accepted"
DIFFERENT = "tributes that both sides see differently"
WRONG_BOOKS = "VOID missing or held at the end"
UNVERIFIED = "books that `ledger verify` refuses"


def main(tributes: int, at_a_time: int) -> None:
    """Negotiate all of them and print the rate, and everything that went wrong."""
    with trading_pair(agents=at_a_time + SPARE_AGENTS) as pair:
        goal_id = pair.planned_goal(NEGOTIATED_ONLY)
        offering_id = pair.offering(at_a_time + SPARE_AGENTS)
        began_s = time.monotonic()
        with ThreadPoolExecutor(at_a_time) as crowd:
            done = crowd.map(lambda _: _negotiate(pair, offering_id, goal_id), range(tributes))
            ends = Counter(done)
        took_s = time.monotonic() - began_s
        wait(lambda: not _open(pair))
        balance, held = pair.bought.rows("SELECT balance, held FROM marketplace_wallet")[0]
        earned = pair.sold.rows("SELECT balance, held FROM marketplace_wallet")[0]
        granted = pair.bought.rows("SELECT amount FROM marketplace_ledgerentry ORDER BY id")[0][0]
        wrong = abs(balance - granted) + held + abs(earned[0] - granted) + earned[1]
        found = {
            f"{RATE}, per second": [tributes / took_s],
            f"{RATE}, seconds for all": [took_s],
            NOT_ACCEPTED: [float(tributes - ends["accepted"])],
            DIFFERENT: [float(len(_seen(pair.bought) ^ _seen(pair.sold)))],
            WRONG_BOOKS: [float(wrong)],
            UNVERIFIED: [0.0 if pair.books_are_right() else 1.0],
        }
    if ends["accepted"] != tributes:
        print(dict(ends), file=sys.stderr)
    print_rounds("", found)


def _negotiate(pair: Pair, offering_id: str, goal_id: str) -> str:
    """Request, wait for the answer, give back; the answer."""
    body = {"offering_id": offering_id, "task_count": 1, "goal_id": goal_id}
    tribute_id = pair.buyer.api.post("/tributes", body)["id"]
    # So many that look without a pause would be most of the load.
    answer = wait(lambda: _answer(pair.bought.status(tribute_id)), LOOK_EVERY_S)
    if answer == "accepted":
        pair.buyer.api.post(f"/tributes/{tribute_id}/cancel", {})
    return str(answer)


def _answer(status: str) -> str:
    return "" if status == "pending" else status


def _open(pair: Pair) -> list[tuple[str, ...]]:
    question = "SELECT id FROM marketplace_tribute WHERE status IN ('pending', 'accepted')"
    return pair.bought.rows(question) + pair.sold.rows(question)


def _seen(database: Ledger) -> set[tuple[str, ...]]:
    question = "SELECT id, status, task_count, released_count, tx_hash FROM marketplace_tribute"
    return set(database.rows(question))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] + [1_000, AT_A_TIME][len(sys.argv) - 1 :]
    main(*given)
