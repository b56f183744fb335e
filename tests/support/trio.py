"""Three real nodes of one swarm whose emperor is lost again and again, and what must stay true.

Each has an agent of its own that nobody else has: a subtask that needs `Trio.at(node)` runs there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.git.command import run_git
from tests.support.deals import UNITTEST, small_repository
from tests.support.git_remote import GitRemote
from tests.support.nodes import RealNode, start_all
from tests.support.waiting import wait_for

QUICK = {
    "swarm": "helios",
    "auth_secret": "a secret of sixteen or more",
    "emperor_heartbeat_s": "1",
    "emperor_stale_s": "3",
    "candidacy_s": "0.5",
    "lease_s": "30",
    "agents": "1",
}
START_S = 90.0
END_S = 90.0


@dataclass
class Trio:
    """The nodes, a remote that all of them write to, and the goals that they have ended."""

    nodes: tuple[RealNode, RealNode, RealNode]
    remote: GitRemote
    folder: Path
    ended: list[Ended] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, **variables: str) -> Trio:
        """Prepare nodes that know each other; none is started yet."""
        first, second, third = (
            RealNode(folder / name, agent_capabilities=f"at-{name}", **QUICK, **variables)
            for name in ("first", "second", "third")
        )
        first.variables["role"] = "emperor"
        for node in (first, second, third):
            others = [each.address for each in (first, second, third) if each is not node]
            node.variables |= {"seeds": ",".join(others)}
            node.variables.setdefault("role", "worker")
        return cls((first, second, third), small_repository(folder / "git"), folder)

    def start(self) -> None:
        """Start all of them."""
        start_all(*self.nodes)

    def end(self) -> None:
        """Leave nothing of them behind."""
        for node in self.nodes:
            node.end()

    def at(self, node: RealNode) -> str:
        """Return the capability that only this node's agent has."""
        return node.variables["agent_capabilities"]

    def others(self, node: RealNode) -> list[RealNode]:
        """Return the two beside one."""
        return [each for each in self.nodes if each is not node]

    def fresh(self, name: str) -> Path:
        """Return the path of a file that is not there yet."""
        path = self.folder / name
        assert not path.exists()
        return path

    async def settled(self) -> RealNode:
        """Wait until all of them run, follow one emperor, and see each other's free agents."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is not None:
                node.launch()
        for node in self.nodes:
            node.wait_until_healthy()
        emperor = await self.emperor_of(self.nodes)
        # Who is linked to the emperor alone hears nobody for a while when that dies.
        await wait_for(lambda: all(len(node.items("/peers")) == 2 for node in self.nodes), START_S)
        await wait_for(lambda: self._are_agents_ready(emperor), START_S)
        return emperor

    async def emperor_of(self, nodes: Sequence[RealNode], timeout_s: float = 30.0) -> RealNode:
        """Wait until nodes agree on one of them as emperor who acts, and return it."""

        def look() -> RealNode | None:
            elections = [node.get("/election") for node in nodes]
            followed = {(each["emperor"] or {}).get("node_id") for each in elections}
            standings = sorted(each["standing"] for each in elections)
            if len(followed) != 1 or standings != ["emperor", *["follower"] * (len(nodes) - 1)]:
                return None
            [node_id] = followed
            return next((node for node in nodes if node.node_id == node_id), None)

        return await wait_for(look, timeout_s)

    def outline(self, blocks: Sequence[tuple[RealNode, str]]) -> str:
        """Return a goal with one subtask for each node and block; each writes a module."""
        items = (
            f"- [ ] Part {number}\n  needs: {self.at(node)}\n"
            f"  ```sh\n  {block}\n  echo 'V = {number}' > part{number}.py\n  ```\n"
            for number, (node, block) in enumerate(blocks, 1)
        )
        return "# Add parts\n\n" + "\n".join(items)

    def submit(
        self,
        via: RealNode,
        blocks: Sequence[tuple[RealNode, str]],
        *,
        test_command: str = UNITTEST,
        title: str = "",
    ) -> str:
        """Submit such a goal at a node and return its id."""
        body = {
            "description": self.outline(blocks),
            "repository": str(self.remote.path),
            "test_command": test_command,
            "title": title,
        }
        goal_id: str = via.post("/tasks", body)["id"]
        return goal_id

    def goal(self, node: RealNode, goal_id: str) -> dict[str, Any]:
        """Return a goal as a node shows it; empty where it does not know it."""
        answer = node.api.get(f"/tasks/{goal_id}")
        if answer.status_code == 404:
            return {}
        shown: dict[str, Any] = answer.raise_for_status().json()
        return shown

    def subtasks(self, node: RealNode, goal_id: str) -> list[dict[str, Any]]:
        """Return a goal's subtasks as a node shows them, in plan order."""
        return node.items(f"/tasks/{goal_id}/subtasks")

    def statuses(self, node: RealNode, goal_id: str) -> list[str]:
        """Return the subtasks' statuses as a node shows them, in plan order."""
        return [task["status"] for task in self.subtasks(node, goal_id)]

    async def completed(self, goal_id: str, nodes: Sequence[RealNode]) -> None:
        """Wait until each of some nodes shows a goal as completed."""
        for node in nodes:
            await wait_for(
                lambda node=node: self.goal(node, goal_id).get("status") == "completed",  # type: ignore[misc]
                END_S,
            )

    def fence(self, goal_id: str) -> dict[str, Any]:
        """Return what the fence of a goal says."""
        ref = f"refs/voidlux/gate/{goal_id[:8]}"
        said = run_git(["log", "-1", "--format=%B", ref], cwd=self.remote.path).stdout
        told: dict[str, Any] = json.loads(said)
        return told

    def integrated(self, goal_id: str) -> list[str]:
        """Return the commits on a goal's branch that are no merges, sorted."""
        branch = f"refs/heads/integrate/{goal_id[:8]}"
        log = ["log", "--no-merges", "--format=%H", f"refs/heads/main..{branch}"]
        return sorted(run_git(log, cwd=self.remote.path).stdout.split())

    def runs(self, goal_id: str) -> dict[str, list[str]]:
        """Return how the runs of each subtask ended, over all nodes that answer."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            known = {task["id"] for task in self.subtasks(node, goal_id)}
            for row in node.items("/attempts"):
                if row["task_id"] in known:
                    found.setdefault(row["task_id"], []).append(row["status"])
        return found

    async def assert_done_once(self, goal_id: str, emperor: RealNode) -> None:
        """Assert that a goal is complete, in the branch once, and under the emperor's term.

        All three must run. What is seen is kept, for a look at the end of everything.
        """
        await self.completed(goal_id, self.nodes)
        assert await self.emperor_of(self.nodes) is emperor
        term = emperor.get("/election")["emperor"]["term"]
        tasks = self.subtasks(emperor, goal_id)
        assert {task["status"] for task in tasks} == {"completed"}
        assert self.integrated(goal_id) == sorted(task["commit"] for task in tasks)
        fence = self.fence(goal_id)
        assert (fence["term"], fence["node_id"]) == (term, emperor.node_id)
        runs = self.runs(goal_id)
        assert runs == {task["id"]: ["succeeded"] for task in tasks}
        self.ended.append(Ended(goal_id, runs, self._refs(goal_id)))

    def assert_nothing_ran_since(self) -> None:
        """Assert that no goal that had ended has a run or a push more than it had then."""
        for each in self.ended:
            assert self.runs(each.goal_id) == each.runs
            assert self._refs(each.goal_id) == each.refs
            for node in self.nodes:
                assert self.goal(node, each.goal_id)["status"] == "completed"

    def _refs(self, goal_id: str) -> dict[str, str]:
        return {name: at for name, at in self.remote.refs().items() if goal_id[:8] in name}

    def _are_agents_ready(self, emperor: RealNode) -> bool:
        ready = {
            agent["node_id"] for agent in emperor.items("/agents") if agent["status"] == "ready"
        }
        return ready == {node.node_id for node in self.nodes}


@dataclass(frozen=True)
class Ended:
    """A goal when it was complete everywhere: the ends of its runs, and its refs."""

    goal_id: str
    runs: dict[str, list[str]]
    refs: dict[str, str]
