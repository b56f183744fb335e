"""A page of 10,000 live offerings, filtered by capability, through the REST API in this process.

    python -m benchmarks.marketplace.many_offerings [offerings]

Each offering has two of 40 capabilities, so that a filter finds one in twenty. The request goes
through the whole API: middleware, the bearer's token, validation, the query and JSON.
"""

from __future__ import annotations

import gc
import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.swarm.result import print_rounds
from benchmarks.swarm.scratch import scratch_node, times_ms

if TYPE_CHECKING:
    from marketplace.models import Offering

CAPABILITIES = 40
ROUNDS = 60
BATCH = 500
FIRST = "page of live offerings with a capability, ms"
NEXT = "its second page, ms"
ALL = "page of live offerings of any kind, ms"
MEMORY = "memory of the process for 10,000 offerings, MB"
STORED = "database for 10,000 offerings, MB"


def main(offerings: int) -> None:
    """Measure and print: pages in milliseconds, and memory and database in MB."""
    from django.conf import settings
    from django.test import Client

    from voidlux_site.access import api_token

    before_mb, stored_before_mb = _resident_mb(), _database_mb(settings.ENVIRONMENT.home)
    _fill(offerings)
    gc.collect()
    stored_mb = _database_mb(settings.ENVIRONMENT.home) - stored_before_mb
    client = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": f"Bearer {api_token()}"})

    def page(query: str) -> dict[str, object]:
        answer = client.get(f"/api/swarm/offerings?limit=50{query}")
        if answer.status_code != 200 or len(answer.json()["items"]) != 50:
            raise RuntimeError(f"{answer.status_code}: {answer.content[:200]!r}")
        return dict(answer.json())

    cursor = page("&capability=skill-7")["next_cursor"]
    questions = {
        FIRST: "&capability=skill-7",
        NEXT: f"&capability=skill-7&cursor={cursor}",
        ALL: "",
    }
    found = {}
    for what, query in questions.items():
        times_ms(lambda query=query: page(query), 5)  # type: ignore[misc]
        found[what] = times_ms(lambda query=query: page(query), ROUNDS)  # type: ignore[misc]
    found[MEMORY] = [_resident_mb() - before_mb]
    found[STORED] = [stored_mb]
    print_rounds("", found)


def _fill(count: int) -> None:
    from marketplace.models import Offering
    from marketplace.services.offering_rows import index_anew
    from p2p.clock import now_utc

    now = now_utc()
    for start in range(0, count, BATCH):
        rows = [_offering(number, now) for number in range(start, min(start + BATCH, count))]
        index_anew(Offering.objects.bulk_create(rows))


def _offering(number: int, now: datetime) -> Offering:
    from marketplace.models import Offering

    names = {f"skill-{number % CAPABILITIES}", f"skill-{number // CAPABILITIES % CAPABILITIES}"}
    return Offering(
        id=uuid.uuid4(),
        node_id=f"{number:032x}",
        swarm=f"swarm-{number}",
        addresses=[{"host": "192.0.2.1", "port": 7101}],
        idle_agents=number % 7 + 1,
        capabilities=sorted(names),
        price_per_task=number * 7919 % 1000,
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell the memory of a process")


def _database_mb(home: Path) -> float:
    return sum(path.stat().st_size for path in home.glob("voidlux.sqlite3*")) / 1024**2


if __name__ == "__main__":
    with scratch_node():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
