"""What the demo does to its own agents: it kills one at work, and answers one that asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from p2p.protocol.errors import DomainError
from swarm.agents import run_block
from swarm.agents.block_files import read_record
from voidlux_site.demo.client import Json
from voidlux_site.demo.following import Snapshot
from voidlux_site.demo.nodes import NodeProcess, Nodes

# What the doomed subtask says in goal.md when it has done half of its work.
HALF_DONE = "the parser is written, its tests are next"
ANSWER = "90"


class Incidents:
    """Looks at each snapshot for the moment to kill, and for a question to answer."""

    def __init__(self, nodes: Nodes, say: Callable[[str], None]) -> None:
        """Take the nodes and what tells the audience."""
        self._nodes = nodes
        self._say = say
        self._killed = False

    def look(self, snapshot: Snapshot) -> None:
        """Do what is due; raises what NodeClient raises."""
        for task in snapshot.subtasks:
            if task["progress"] == HALF_DONE and not self._killed:
                self._kill(task)
            if task["question"] is not None and task["question"]["open"]:
                self._answer(task)

    def _kill(self, task: Json) -> None:
        """End the process that runs the task as the kernel would: without a last word."""
        for node in self._nodes.all:
            for run in node.api.items("/attempts"):
                pid = _process_of(node, run) if run["task_id"] == task["id"] else None
                if run["status"] == "working" and pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    self._killed = True
                    name = node.plan.name
                    self._say(f"kill -9 {pid}: an agent of {name} dies at work on {_quoted(task)}")

    def _answer(self, task: Json) -> None:
        with suppress(DomainError):  # the run that asked has ended meanwhile
            self._nodes.buyer.api.post(f"/tasks/{task['id']}/answer", {"text": ANSWER})
            self._say(f"the operator answers {_quoted(task)}: {ANSWER}")


def _process_of(node: NodeProcess, run: Json) -> int | None:
    """Return the process of a run that has started, if it is still that one."""
    started = read_record(node.home / "runs" / run["id"] / run_block.STARTED)
    if started is None or "pid" not in started:
        return None
    pid = int(started["pid"])
    return pid if run_block.process_mark(pid) == started["mark"] else None


def _quoted(task: Json) -> str:
    return f"“{task['title']}”"
