"""Many branches in: the gate beside a loop of checkout and merge.

    python -m benchmarks.merge.speed [files] [branches] [rounds]

Both begin with a clone that has all branches, and end with all of them merged by a merge commit
each and checked out. Neither tests anything. The whole way of each is measured too: the gate from
the reports to the completed goal, with its rows, and the loop with a fetch before and a push after.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.merge.scene import make_scene, reported_goal
from benchmarks.swarm.begin import AUTHOR
from benchmarks.swarm.result import print_rounds
from benchmarks.swarm.scratch import scratch_node
from swarm.git.command import run_git

GATE = "merges by the gate"
LOOP = "loop of checkout and merge"
WHOLE_GATE = "gate, from reports to the completed goal"
WHOLE_LOOP = "loop with fetch and push"


def main(files: int, branches: int, rounds: int) -> None:
    """Measure both in turn and print the rounds, in milliseconds; the first one does not count."""
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="vlm-") as name, scratch_node():
        folder = Path(name).resolve()
        remote, commits = make_scene(folder, files, branches)
        for number in range(rounds + 1):
            taken = loop(folder / f"loop-{number}", remote, branches)
            taken |= gate(remote, commits)
            for what, ms in taken.items() if number else ():
                measured.setdefault(what, []).append(ms)
    print_rounds("ms", measured)


def loop(folder: Path, remote: Path, branches: int) -> dict[str, float]:
    """Merge all branches with plain git; returns milliseconds."""
    run_git(("clone", "-q", "--no-local", str(remote), str(folder)))
    run_git(("checkout", "-q", "-b", "integrate"), cwd=folder)
    fetched = _ms(lambda: run_git(("fetch", "-q", "origin"), cwd=folder))
    merged = _ms(lambda: _merge_each(folder, branches))
    target = f"integrate:refs/heads/{folder.name}"
    pushed = _ms(lambda: run_git(("push", "-q", "origin", target), cwd=folder))
    return {LOOP: merged, WHOLE_LOOP: fetched + merged + pushed}


def _merge_each(folder: Path, branches: int) -> None:
    for number in range(1, branches + 1):
        run_git(("checkout", "-q", "integrate"), cwd=folder)
        args = ("merge", "-q", "--no-ff", "-m", f"Merge {number}", f"origin/work/{number}")
        run_git(args, cwd=folder, env_extra=AUTHOR)


def gate(remote: Path, commits: list[str]) -> dict[str, float]:
    """Merge all branches with the gate, then let it do the whole way; returns milliseconds."""
    from p2p.local import local_node
    from swarm.gate.batch.merging import Chain
    from swarm.gate.gate import run_gate
    from swarm.git.integration import open_integration
    from swarm.git.repository import Repository
    from swarm.models import Task

    goal = reported_goal(remote, commits, "")
    tasks = list(goal.subtasks.order_by("number"))
    repository = Repository(goal.repository, local_node().home)
    integration = open_integration(repository, goal.id, goal.base_commit)

    def merge_all() -> None:
        chain = Chain(integration, goal.base_commit)
        if len(chain.merge(tasks)) != len(tasks):
            raise RuntimeError("not every branch was merged")
        integration.reset(chain.commit_of(tasks))

    merged = _ms(merge_all)
    integration.close()
    whole = _ms(lambda: run_gate(goal))
    if Task.objects.get(id=goal.id).status != "completed":
        raise RuntimeError("the goal was not completed")
    return {GATE: merged, WHOLE_GATE: whole}


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] + [2_000, 20, 5][len(sys.argv) - 1 :]
    main(*given)
