"""The demo in large: one swarm of many nodes, many subtasks, and an emperor that is killed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from swarm.outline import ITEMS_MAX
from voidlux_site.demo.client import Json
from voidlux_site.demo.following import News, Snapshot
from voidlux_site.demo.memory import memory_mb
from voidlux_site.demo.names import Names
from voidlux_site.demo.nodes import NodePlan, NodeProcess, Nodes
from voidlux_site.demo.repository import Remote
from voidlux_site.demo.succession import AT_WORK, Errand, Succession
from voidlux_site.demo.succession_facts import emperor_seen
from voidlux_site.demo.telling import Telling
from voidlux_site.demo.view import View

NODES_MIN, NODES_MAX = 2, 50
SUBTASKS_A_NODE = 2
SWARM = "fleet"
START_AT_ONCE = 2  # a start takes a core for seconds
NODE_WITHIN_S = 120.0
LINK_WITHIN_S = 120.0
WORK_WITHIN_S_A_NODE = 40.0
ROWS_SHOWN = 16
# More patient than the small demo: many nodes on few cores are heard late.
ELECTION = {
    "VOIDLUX_EMPEROR_HEARTBEAT_S": "2",
    "VOIDLUX_EMPEROR_STALE_S": "8",
    "VOIDLUX_CANDIDACY_S": "1",
    "VOIDLUX_LEASE_S": "15",
}
TAKEN_OVER = "taken over from "
TOLD = frozenset({"completed", "sent back", "failed"})
_ORDER = {"in_progress": 0, "claimed": 1, "merging": 2, "pending_review": 2, "completed": 9}


def scale_plans(count: int) -> list[NodePlan]:
    """Return the nodes of one swarm with one agent each; the first is its emperor."""
    return [
        NodePlan(
            name=f"node-{number:02}",
            part="emperor" if number == 1 else "worker",
            swarm=SWARM,
            agents=1,
            role="emperor" if number == 1 else "worker",
            batch_wait_s=0.0,
            settings=ELECTION,
        )
        for number in range(1, count + 1)
    ]


def outlines(count: int) -> list[str]:
    """Return goals with `count` subtasks in all; every second one waits for the one before."""
    numbers = list(range(1, count + 1))
    chunks = [numbers[i : i + ITEMS_MAX] for i in range(0, count, ITEMS_MAX)]
    return [_outline(number, chunk) for number, chunk in enumerate(chunks, 1)]


class Scale:
    """Tells it once, on nodes that are prepared but not started."""

    def __init__(self, nodes: Nodes, remote: Remote, view: View, names: Names) -> None:
        """Take the nodes, the remote, the view to tell through, and what the nodes are called."""
        self._nodes = nodes
        self._remote = remote
        self._names = names
        self._telling = Telling(nodes, view, datetime.now(UTC))

    def run(self) -> Json:
        """Tell it to its end and return its facts; raises VoidLuxError where it stops."""
        self._start()
        up_s = self._telling.now_s()
        self._telling.wait("one swarm", LINK_WITHIN_S, self._is_linked, self._who_is_linked)
        linked_s = self._telling.now_s()
        memory = {node.plan.name: memory_mb(node.pid) for node in self._nodes.all if node.pid}
        count = len(self._nodes.all)
        self._telling.say(f"{count} nodes are linked and follow one emperor")
        tasks = SUBTASKS_A_NODE * count
        errand = Errand(
            outlines=outlines(tasks),
            is_middle=is_middle,
            show=show_busy,
            within_s=WORK_WITHIN_S_A_NODE * count,
        )
        facts = Succession(self._telling, self._remote, self._names, errand).run()
        goal_s = facts["timings"]["goal_s"]
        return {
            "version": 1,
            "nodes": count,
            "subtasks": tasks,
            "succession": facts,
            "memory_mb": memory,
            "timings": {
                "up_s": round(up_s, 1),
                "linked_s": round(linked_s, 1),
                "tasks_per_minute": round(60 * tasks / goal_s, 1) if goal_s else None,
                "total_s": round(self._telling.now_s(), 1),
            },
        }

    def _start(self) -> None:
        everybody = self._nodes.all
        self._telling.say(f"{len(everybody)} nodes are starting, {START_AT_ONCE} at a time")
        for first in range(0, len(everybody), START_AT_ONCE):
            few = everybody[first : first + START_AT_ONCE]
            for node in few:
                self._nodes.start_node(node)
            self._wait_until_ready(few)
        self._nodes.start_seneschal()

    def _wait_until_ready(self, few: Sequence[NodeProcess]) -> None:
        names = " and ".join(node.plan.name for node in few)
        self._telling.wait(
            f"{names} to start",
            NODE_WITHIN_S,
            lambda: all(node.is_ready() for node in few),
            lambda: "no answer",
        )

    def _is_linked(self) -> bool:
        ready = all(node.api.get("/status")["agents"]["ready"] == 1 for node in self._nodes.all)
        return ready and emperor_seen(self._nodes.all) is not None

    def _who_is_linked(self) -> str:
        counts = (
            f"{node.plan.name} {node.api.get('/status')['peers']}" for node in self._nodes.all
        )
        return f"links: {', '.join(counts)}"


def is_middle(subtasks: list[Json], emperor_id: str) -> bool:
    """Tell whether a quarter is merged and the emperor's agent at work, or a half is merged."""
    merged = sum(task["status"] == "completed" for task in subtasks)
    at_work = any(
        task["status"] == AT_WORK and task["assigned_node"] == emperor_id for task in subtasks
    )
    enough = 2 * merged >= len(subtasks) or (4 * merged >= len(subtasks) and at_work)
    return merged > 0 and enough


def show_busy(view: View, snapshots: list[Snapshot]) -> None:
    """Show all goals as one: how much is done, what is busy, and what has ended since."""
    tasks = [task for each in snapshots for task in each.subtasks]
    merged = sum(task["status"] == "completed" for task in tasks)
    at_work = sum(task["status"] == AT_WORK for task in tasks)
    goal = {
        "title": f"{merged} of {len(tasks)} subtasks are merged, {at_work} at work",
        "status": "",
        "progress": "",
    }
    busy = sorted(tasks, key=lambda task: _ORDER.get(task["status"], 5))[:ROWS_SHOWN]
    news = [one for each in snapshots for one in each.news if _is_told(one)]
    view.show(
        Snapshot(
            at_s=max((each.at_s for each in snapshots), default=0.0),
            goal=goal,
            subtasks=busy,
            wallets={},
            news=sorted(news, key=lambda each: each.at_s),
        )
    )


def _is_told(news: News) -> bool:
    """Tell whether something ended or begins again; what was taken over had ended before."""
    return news.status in TOLD and not news.text.startswith(TAKEN_OVER)


def _outline(number: int, chunk: Sequence[int]) -> str:
    items = []
    for place, task in enumerate(chunk, 1):
        after = f" (after: {place - 1})" if place % 2 == 0 else ""
        block = f"sleep 1; mkdir -p work && echo {task} >> work/{task:03}.txt"
        items.append(f"{place}. [ ] Part {task}{after}\n\n   ```sh\n   {block}\n   ```\n")
    return f"# Fleet work {number}\n\nSmall parts that belong together.\n\n" + "\n".join(items)
