"""The second act: a swarm loses its emperor in the middle of a goal, and its users do not notice.

Everything is asked of one address, the swarm's Seneschal. The members are asked by themselves only
for what each of them sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voidlux_site.demo.browser import Browser
from voidlux_site.demo.client import Json
from voidlux_site.demo.following import TASK_ENDED, Follower, Snapshot
from voidlux_site.demo.names import Names
from voidlux_site.demo.nodes import NodeProcess
from voidlux_site.demo.repository import BASE_BRANCH, TEST_COMMAND, Remote
from voidlux_site.demo.succession_facts import Scene, collect_succession, emperor_seen
from voidlux_site.demo.telling import Telling
from voidlux_site.demo.view import View

AGREE_WITHIN_S = 60.0
ELECTION_WITHIN_S = 60.0
BACK_WITHIN_S = 60.0
AT_WORK = "in_progress"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What the swarm is given to do, when to kill its emperor, and how it is shown.

    `is_middle` takes all subtasks and the emperor's id; `go` is a file that the work waits for,
    which is made when another node leads.
    """

    outlines: Sequence[str]
    is_middle: Callable[[list[Json], str], bool]
    show: Callable[[View, list[Snapshot]], None]
    go: Path | None = None
    within_s: float = 120.0


class Succession:
    """Tells the second act once, on nodes that run already."""

    def __init__(self, telling: Telling, remote: Remote, names: Names, errand: Errand) -> None:
        """Take how it is told, the remote, what the nodes are called, and the work."""
        seneschal = telling.nodes.seneschal
        assert seneschal is not None, "a succession is watched through a Seneschal"
        self._telling = telling
        self._nodes = telling.nodes
        self._seneschal = seneschal
        self._remote = remote
        self._names = names
        self._errand = errand
        self._api = self._nodes.address_api()
        self._browser = Browser(seneschal.url)
        self._followers: list[Follower] = []
        self._latest: list[Snapshot] = []
        self._kill: Json = {}
        self._timings: dict[str, float] = {}

    def run(self) -> Json:
        """Tell it to its end and return its facts; raises VoidLuxError where it stops."""
        try:
            return self._tell()
        finally:
            self._browser.close()
            self._api.close()

    def _tell(self) -> Json:
        emperor = self._open()
        goals = self._submit()
        self._wait(
            "the middle of the work", self._errand.within_s, lambda: self._is_middle(emperor)
        )
        self._kill_emperor(emperor)
        self._wait_for_another(emperor)
        self._wait("the work to end", self._errand.within_s, self._has_ended)
        self._timings["goal_s"] = self._since(self._submitted_s)
        browser = {**self._browser.facts(), "goals": self._goals_in_browser(goals)}
        self._bring_back(emperor, goals)
        scene = Scene(
            nodes=self._nodes,
            seneschal=self._seneschal,
            api=self._api,
            remote=self._remote,
            goal_ids=tuple(goals),
            kill=self._kill,
            browser=browser,
        )
        return collect_succession(scene, self._timings)

    def _open(self) -> NodeProcess:
        """Wait for one emperor, and let the browser log in; returns the emperor's node."""
        members = self._nodes.members
        seen = self._telling.wait(
            "all members to follow one emperor",
            AGREE_WITHIN_S,
            lambda: emperor_seen(members) if self._address_leads() else None,
            self._standings,
        )
        emperor = next(node for node in members if node.node_id == seen[0])
        self._browser.open(emperor.login_link(at=self._seneschal.url))
        self._telling.say(
            f"a browser logs in at {self._seneschal.url}, the one address of swarm "
            f"{self._seneschal.swarm}; emperor is {emperor.plan.name} in term {seen[1]}"
        )
        return emperor

    def _submit(self) -> list[str]:
        known = {goal["id"] for goal in self._api.items("/tasks")}
        self._submitted_s = self._telling.now_s()
        for outline in self._errand.outlines:
            self._browser.submit(
                {
                    "description": outline,
                    "repository": str(self._remote.path),
                    "base_branch": BASE_BRANCH,
                    "test_command": TEST_COMMAND,
                }
            )
        goals: list[str] = [
            goal["id"] for goal in self._api.items("/tasks") if goal["id"] not in known
        ]
        count = "a goal" if len(goals) == 1 else f"{len(goals)} goals"
        self._telling.say(f"the browser submits {count} there")
        self._followers = [
            Follower(goal, [], self._names, self._telling.started_at, self._api) for goal in goals
        ]
        return goals

    def _is_middle(self, emperor: NodeProcess) -> bool:
        subtasks = self._look()
        return self._errand.is_middle(subtasks, emperor.node_id)

    def _kill_emperor(self, emperor: NodeProcess) -> None:
        pushed = {run["branch"] for run in emperor.api.items("/attempts")}
        subtasks = [task for each in self._latest for task in each.subtasks]
        term = emperor.api.get("/election")["emperor"]["term"]
        pid = emperor.crash()
        self._killed_s = self._telling.now_s()
        branches = self._remote.branches()  # what was under way when it was asked is there too
        self._kill = {
            "name": emperor.plan.name,
            "node_id": emperor.node_id,
            "pid": pid,
            "term": term,
            "at": datetime.now(UTC).isoformat(),
            "merged": [task["id"] for task in subtasks if task["status"] == "completed"],
            "at_work": [
                task["id"]
                for task in subtasks
                if task["status"] == AT_WORK and task["assigned_node"] == emperor.node_id
            ],
            "pushed": {name: commit for name, commit in branches.items() if name in pushed},
        }
        done, at_work = len(self._kill["merged"]), len(self._kill["at_work"])
        self._telling.say(
            f"kill -9 {pid}: {emperor.plan.name}, the emperor, is gone with its agents; of "
            f"{len(subtasks)} subtasks {done} are merged and {at_work} were at work there"
        )

    def _wait_for_another(self, killed: NodeProcess) -> None:
        members = [node for node in self._nodes.members if node is not killed]

        def another() -> tuple[str, int] | None:
            seen = emperor_seen(members)
            return seen if seen is not None and seen[0] != killed.node_id else None

        heir, term = self._telling.wait(
            "another emperor", ELECTION_WITHIN_S, another, self._standings
        )
        self._timings["vacant_s"] = self._since(self._killed_s)
        for follower in self._followers:
            follower.look_anew()
        if self._errand.go is not None:
            self._errand.go.touch()
        self._telling.say(
            f"{self._names.node(heir)} is emperor in term {term}, at the same address"
        )

    def _has_ended(self) -> bool:
        self._look()
        return all(each.goal["status"] in TASK_ENDED for each in self._latest)

    def _goals_in_browser(self, goals: Sequence[str]) -> dict[str, str]:
        return {goal: self._browser.get(f"/tasks/{goal}")["status"] for goal in goals}

    def _bring_back(self, killed: NodeProcess, goals: Sequence[str]) -> None:
        started_s = self._telling.now_s()
        killed.start_again()
        self._telling.say(f"{killed.plan.name} is started again on what it left")

        def is_back() -> bool:
            if not killed.is_ready() or emperor_seen(self._nodes.members) is None:
                return False
            # What it has not heard of yet it shows as it was.
            return all(killed.api.get(f"/tasks/{each}")["status"] in TASK_ENDED for each in goals)

        self._telling.wait(f"{killed.plan.name} to follow", BACK_WITHIN_S, is_back, self._standings)
        self._timings["back_s"] = self._since(started_s)
        self._telling.say(f"{killed.plan.name} follows, and shows the same goal as it ended")

    def _look(self) -> list[Json]:
        self._latest = [follower.poll() for follower in self._followers]
        self._errand.show(self._telling.view, self._latest)
        return [task for each in self._latest for task in each.subtasks]

    def _wait(self, what: str, within_s: float, condition: Callable[[], bool]) -> None:
        self._telling.wait(what, within_s, condition, self._progress)

    def _progress(self) -> str:
        tasks = (task for each in self._latest for task in each.subtasks)
        return ", ".join(f"{task['number']} {task['status']}" for task in tasks)

    def _address_leads(self) -> bool:
        return self._seneschal.health().get("emperor") is not None

    def _standings(self) -> str:
        told = []
        for node in self._nodes.members:
            if node.is_crashed:
                continue
            election = node.api.get("/election")
            emperor = election["emperor"]
            followed = self._names.node(emperor["node_id"]) if emperor else "nobody"
            told.append(f"{node.plan.name} is {election['standing']} and follows {followed}")
        return "; ".join(told)

    def _since(self, moment_s: float) -> float:
        return round(self._telling.now_s() - moment_s, 1)
