"""One culprit among green branches: the test runs it takes, and what is found by 1 and 4 workers.

    python -m benchmarks.merge.culprit [branches] [workers]

Every position of the culprit is tried, each on a goal of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.merge.scene import make_scene, no_bug, reported_goal
from benchmarks.swarm.result import print_rounds
from benchmarks.swarm.scratch import scratch_node

FILES = 40
RUNS = "{}: test runs"
WRONG = "{}: wrong verdicts"


def main(branches: int, workers: int) -> None:
    """Try every position; print the test runs that each took, and how many verdicts were wrong."""
    with scratch_node():
        from django.conf import settings

        settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"test_workers": workers})
        found = [_runs(branches, culprit) for culprit in range(1, branches + 1)]
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    print_rounds(
        "runs",
        {
            RUNS.format(name): [runs for runs, _ in found],
            WRONG.format(name): [float(sum(not right for _, right in found))],
        },
    )


def _runs(branches: int, culprit: int) -> tuple[float, bool]:
    from swarm.gate.gate import run_gate
    from swarm.models import TestRun

    with tempfile.TemporaryDirectory(prefix="vlm-") as name:
        remote, commits = make_scene(Path(name).resolve(), FILES, branches, culprit)
        goal = reported_goal(remote, commits, no_bug(branches))
        run_gate(goal)
        statuses = dict(goal.subtasks.values_list("number", "status"))
        expected = {
            number: "pending" if number == culprit else "completed"
            for number in range(1, branches + 1)
        }
        return float(TestRun.objects.filter(goal=goal).count()), statuses == expected


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] + [16, 1][len(sys.argv) - 1 :]
    main(*given)
