"""How long one dispatch decision takes while 1,000 subtasks wait.

    python -m benchmarks.swarm.dispatch [tasks]

Measured: the choice alone (who is idle, which of all waiting tasks is next), and a whole
dispatch, with the claim, its history and its run committed.
"""

from __future__ import annotations

import sys

from benchmarks.swarm.result import print_rounds
from benchmarks.swarm.scratch import cpu_ms, scratch_node, times_ms

SUBTASKS_PER_GOAL = 8
ROUNDS = 50


def main(tasks: int) -> None:
    """Measure and print."""
    from p2p.clock import now_utc
    from p2p.local import local_node
    from swarm.models import Agent, Attempt, Task
    from swarm.services.agents import judge_agent, register_agent
    from swarm.services.dispatch import dispatch_ready
    from swarm.services.ready_queue import ReadyQueue
    from swarm.services.supply import Supply
    from swarm.states import AgentStatus, TaskStatus

    now = now_utc()
    common = {"repository": "/srv/r.git", "created_by": local_node().node_id, "created_at": now}
    goals = Task.objects.bulk_create(
        Task(title="g", status=TaskStatus.IN_PROGRESS, updated_at=now, **common)
        for _ in range(-(-tasks // SUBTASKS_PER_GOAL))
    )
    Task.objects.bulk_create(
        Task(
            parent=goals[n // SUBTASKS_PER_GOAL],
            number=n % SUBTASKS_PER_GOAL + 1,
            title=f"t{n}",
            status=TaskStatus.PENDING,
            required_capabilities=["python"] if n % 3 else ["python", "rust"],
            base_commit="b" * 40,
            updated_at=now,
            **common,
        )
        for n in range(tasks)
    )
    agent = register_agent(name="one", tool="shell", capabilities=["python"], now=now)
    seen = {"source": "s", "rule": "r", "evidence": "e", "now": now}
    judge_agent(agent.id, AgentStatus.READY, **seen)

    def choose() -> None:
        assert ReadyQueue().next(Supply.look(now)) is not None

    def dispatch_one() -> None:
        assert dispatch_ready(now) == 1

    def free() -> None:
        Agent.objects.update(attempt=None, status=AgentStatus.READY)
        Attempt.objects.all().delete()

    choices = times_ms(choose, ROUNDS)
    processor = cpu_ms(choose, ROUNDS)
    one = cpu_ms(lambda: Task.objects.get(id=goals[0].id), ROUNDS)
    whole = []
    for _ in range(ROUNDS):
        whole += times_ms(dispatch_one, 1)
        free()
    print_rounds(
        "ms",
        {
            "dispatch: one task by its id, CPU time": one,
            "dispatch: choice": choices,
            "dispatch: choice, CPU time": processor,
            "dispatch: choice, committed": whole,
        },
    )


if __name__ == "__main__":
    with scratch_node():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
