"""The story itself: three nodes, a goal that is too big for one agent, and a trade."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from p2p.protocol.errors import ExternalError, VoidLuxError
from voidlux_site.demo.client import Json
from voidlux_site.demo.facts import Stage, collect
from voidlux_site.demo.following import TRIBUTE_ENDED, Follower
from voidlux_site.demo.incidents import Incidents
from voidlux_site.demo.names import Names
from voidlux_site.demo.nodes import NodePlan, NodeProcess, Nodes
from voidlux_site.demo.repository import BASE_BRANCH, TEST_COMMAND, Remote
from voidlux_site.demo.view import View
from voidlux_site.demo.worktrees import leftover_worktrees

GOAL_FILE = Path(__file__).with_name("goal.md")
START_WITHIN_S = 60.0
STEP_WITHIN_S = 30.0
GOAL_WITHIN_S = 100.0
SETTLE_WITHIN_S = 30.0
CLEAN_UP_WITHIN_S = 15.0
LOOK_EVERY_S = 0.3

PLANS = (
    NodePlan(name="helios", part="buyer", swarm="helios", agents=1),
    NodePlan(name="andromeda", part="seller", swarm="andromeda", agents=3, price=12),
    NodePlan(
        name="andromeda-2",
        part="second worker of the seller's swarm",
        swarm="andromeda",
        role="worker",
        agents=2,
        price=9,
    ),
)
# How many executions the buyer asks of each seller.
ORDERS = {"andromeda": 3, "andromeda-2": 1}

T = TypeVar("T")


class StoryFailed(VoidLuxError):
    """The story did not go on within its time; the message says where it stopped."""


class Story:
    """Tells the story once, on nodes that are prepared but not started."""

    def __init__(self, nodes: Nodes, remote: Remote, view: View, folder: Path) -> None:
        """Take the nodes, the remote, the view to tell through and a folder for a clone."""
        self._nodes = nodes
        self._remote = remote
        self._view = view
        self._folder = folder
        self._timings: dict[str, float] = {}
        self._started_at = datetime.now(UTC)

    def run(self) -> Json:
        """Tell the story to its end and return its facts; raises VoidLuxError where it stops."""
        self._start_nodes()
        goal_id = self._submit_goal()
        follower = self._follower(goal_id)
        self._hire(goal_id, follower)
        self._follow(follower)
        self._settle(goal_id, follower)
        self._note("total_s")
        stage = Stage(self._nodes, self._remote, goal_id, self._folder)
        return collect(stage, self._timings)

    def _start_nodes(self) -> None:
        self._say("the nodes are starting")
        self._nodes.start()
        self._wait("the nodes to start", START_WITHIN_S, self._all_ready)
        self._note("nodes_up_s")
        count = len(self._nodes.all)
        self._say(f"{count} nodes are up, linked, and their agents are ready")

    def _all_ready(self) -> bool:
        return all(node.is_ready() and _has_its_agents(node) for node in self._nodes.all) and (
            len(self._nodes.buyer.api.items("/peers")) == len(self._nodes.sellers)
        )

    def _submit_goal(self) -> str:
        self._submitted_s = self._now_s()
        self._say(f"{self._nodes.buyer.plan.name} is given its goal")
        goal = self._nodes.buyer.api.post(
            "/tasks",
            {
                "description": GOAL_FILE.read_text("utf-8"),
                "repository": str(self._remote.path),
                "base_branch": BASE_BRANCH,
                "test_command": TEST_COMMAND,
            },
        )
        goal_id: str = goal["id"]
        return goal_id

    def _follower(self, goal_id: str) -> Follower:
        watched = [(node.plan.name, node.api) for node in self._nodes.all]
        return Follower(goal_id, watched, names_of(self._nodes), self._started_at)

    def _hire(self, goal_id: str, follower: Follower) -> None:
        """Request a tribute of every seller, as soon as the goal is planned."""
        buyer = self._nodes.buyer.api
        self._wait(
            "the goal to be planned",
            STEP_WITHIN_S,
            lambda: buyer.get(f"/tasks/{goal_id}")["status"] != "planning",
        )
        for seller in self._nodes.sellers:
            offering = self._wait(
                f"the offering of {seller.plan.name}",
                STEP_WITHIN_S,
                lambda seller=seller: _offering_of(self._nodes.buyer, seller),  # type: ignore[misc]
            )
            count = ORDERS[seller.plan.name]
            order = {"offering_id": offering["id"], "task_count": count, "goal_id": goal_id}
            buyer.post("/tributes", order)
        self._view.show(follower.poll())

    def _follow(self, follower: Follower) -> None:
        """Show the goal until it has ended; how it ended is for the checks to judge."""
        incidents = Incidents(self._nodes, self._say)

        def ended() -> bool:
            snapshot = follower.poll()
            self._view.show(snapshot)
            incidents.look(snapshot)
            return snapshot.ended

        self._wait("the goal to end", GOAL_WITHIN_S, ended)
        self._timings["goal_s"] = round(self._now_s() - self._submitted_s, 1)

    def _settle(self, goal_id: str, follower: Follower) -> None:
        """Wait until both sides have closed their books and the worktrees are gone."""

        def settled() -> bool:
            self._view.show(follower.poll())
            return all(_books_closed(node) for node in self._nodes.all)

        def cleaned() -> bool:
            return not any(
                leftover_worktrees(node.home, self._remote.path) for node in self._nodes.all
            )

        self._wait("all payments to be settled", SETTLE_WITHIN_S, settled)
        # What is still there then is for the check of unpushed work to judge.
        with suppress(StoryFailed):
            self._wait("the worktrees to be removed", CLEAN_UP_WITHIN_S, cleaned)

    def _wait(self, what: str, within_s: float, condition: Callable[[], T | None]) -> T:
        """Return the first true value of `condition`; StoryFailed after `within_s` seconds."""
        ends_at = time.monotonic() + within_s
        while True:
            self._nodes.require_alive()
            value, trouble = _attempt(condition)
            if value:
                return value
            if time.monotonic() >= ends_at:
                raise StoryFailed(f"waited {within_s:g} s for {what}{trouble}")
            time.sleep(LOOK_EVERY_S)

    def _say(self, text: str) -> None:
        self._view.say(text, self._now_s())

    def _note(self, name: str) -> None:
        self._timings[name] = round(self._now_s(), 1)

    def _now_s(self) -> float:
        return (datetime.now(UTC) - self._started_at).total_seconds()


def _attempt(condition: Callable[[], T | None]) -> tuple[T | None, str]:
    """Return what the condition says; an API that does not answer now may answer soon."""
    try:
        return condition(), ""
    except ExternalError as error:
        if not error.retryable:
            raise
        return None, f" ({error})"


def names_of(nodes: Nodes) -> Names:
    """Return what the story calls its nodes."""
    return Names({node.node_id: node.plan.name for node in nodes.all})


def _has_its_agents(node: NodeProcess) -> bool:
    agents = node.api.get("/status")["agents"]
    return bool(agents["ready"] == node.plan.agents)


def _offering_of(buyer: NodeProcess, seller: NodeProcess) -> Json | None:
    for offering in buyer.api.items("/offerings"):
        enough = offering["idle_agents"] >= ORDERS[seller.plan.name]
        if offering["node_id"] == seller.node_id and enough:
            return offering
    return None


def _books_closed(node: NodeProcess) -> bool:
    tributes = node.api.items("/tributes")
    paid = all(
        execution["payment"] == "committed"
        for tribute in tributes
        for execution in tribute["executions"]
        if execution["status"] == "accepted"
    )
    ended = all(tribute["status"] in TRIBUTE_ENDED for tribute in tributes)
    return ended and paid and node.api.get("/wallet")["held"] == 0
