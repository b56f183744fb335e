"""The story itself: a goal too big for one agent, a trade, and a swarm that loses its emperor."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from p2p.protocol.errors import ExternalError
from voidlux_site.demo.client import Json
from voidlux_site.demo.facts import Stage, collect, describe_node, verify_books
from voidlux_site.demo.following import TRIBUTE_ENDED, Follower, Snapshot
from voidlux_site.demo.incidents import Incidents
from voidlux_site.demo.names import Names
from voidlux_site.demo.nodes import NodePlan, NodeProcess, Nodes
from voidlux_site.demo.outage import Outage
from voidlux_site.demo.repository import BASE_BRANCH, TEST_COMMAND, Remote
from voidlux_site.demo.succession import Errand, Succession
from voidlux_site.demo.telling import Telling
from voidlux_site.demo.view import View
from voidlux_site.demo.waiting import StoryFailed, blame_the_dead
from voidlux_site.demo.worktrees import leftover_worktrees

GOAL_FILE = Path(__file__).with_name("goal.md")
SECOND_GOAL_FILE = Path(__file__).with_name("second_goal.md")
START_WITHIN_S = 60.0
STEP_WITHIN_S = 30.0
GOAL_WITHIN_S = 100.0
SETTLE_WITHIN_S = 30.0
CLEAN_UP_WITHIN_S = 15.0
# Half a minute and more of the goal is left when the offering that nobody renews runs out.
SHORT_TTL_S = 20
EXPIRES_WITHIN_S = SHORT_TTL_S + 10.0

# Quick enough for a story; a real swarm leaves its emperor more time.
QUICK_ELECTION = {
    "VOIDLUX_EMPEROR_HEARTBEAT_S": "1",
    "VOIDLUX_EMPEROR_STALE_S": "3",
    "VOIDLUX_CANDIDACY_S": "0.5",
    "VOIDLUX_LEASE_S": "10",
}

PLANS = (
    NodePlan(name="helios", part="buyer", swarm="helios", agents=1),
    NodePlan(
        name="andromeda",
        part="seller",
        swarm="andromeda",
        agents=3,
        price=12,
        batch_wait_s=0.0,
        settings=QUICK_ELECTION,
    ),
    NodePlan(
        name="andromeda-2",
        part="second worker of the seller's swarm",
        swarm="andromeda",
        role="worker",
        agents=2,
        price=9,
        batch_wait_s=0.0,
        settings=QUICK_ELECTION,
    ),
    NodePlan(
        name="vega",
        part="seller that does not know the buyer",
        swarm="vega",
        agents=1,
        price=5,
        knows_buyer=False,
        offering_ttl_s=SHORT_TTL_S,
    ),
)
# The swarm that has one address, and a goal of its own in the second act.
SENESCHAL_OF = "andromeda"
# How many executions the buyer asks of each seller: one more than there is work for.
ORDERS = {"andromeda": 3, "andromeda-2": 2}


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
        self._telling = Telling(nodes, view, self._started_at)
        (stranger,) = nodes.strangers
        self._outage = Outage(
            nodes, stranger, lambda node: describe_node(node, remote.path), self._telling.say
        )

    def run(self) -> Json:
        """Tell the story to its end and return its facts; raises VoidLuxError where it stops."""
        try:
            return self._tell()
        except ExternalError:
            # A node that does not answer may have died: then its log says more than the call.
            blame_the_dead(self._nodes)
            raise

    def _tell(self) -> Json:
        self._start_nodes()
        goal_id = self._submit_goal()
        follower = self._follower(goal_id)
        self._hire(goal_id, follower)
        self._follow(follower)
        self._settle(goal_id, follower)
        self._note("settled_s")
        stage = Stage(
            nodes=self._nodes,
            remote=self._remote,
            goal_id=goal_id,
            folder=self._folder,
            outage=self._outage.facts(),
            last_facts=self._outage.last_facts(),
        )
        facts = collect(stage, self._timings)
        facts["succession"] = self._succeed()
        self._telling.say("every node verifies its books")
        verify_books(facts, self._nodes)
        self._note("total_s")
        facts["timings"] |= self._timings
        return facts

    def _succeed(self) -> Json:
        go = self._folder / "go"
        errand = Errand(
            outlines=[SECOND_GOAL_FILE.read_text("utf-8").replace("GO_FILE", str(go))],
            is_middle=is_middle,
            show=lambda view, snapshots: view.show(snapshots[0]),
            go=go,
        )
        self._telling.say("the trade is settled; swarm andromeda has a goal of its own")
        return Succession(self._telling, self._remote, names_of(self._nodes), errand).run()

    def _start_nodes(self) -> None:
        self._telling.say("the nodes are starting")
        self._nodes.start()
        self._telling.wait("the nodes to start", START_WITHIN_S, self._all_ready, self._who_is_up)
        for stranger in self._nodes.strangers:
            stranger.api.put("/policies/selling", {"acceptance": "allowlist"})
        self._note("nodes_up_s")
        count = len(self._nodes.all)
        self._telling.say(f"{count} nodes are up, linked, and their agents are ready")

    def _all_ready(self) -> bool:
        ready = all(node.is_ready() and _has_its_agents(node) for node in self._nodes.all)
        # The Seneschal is a peer too.
        linked = {peer["node_id"] for peer in self._nodes.buyer.api.items("/peers")}
        return ready and linked >= {node.node_id for node in self._nodes.all[1:]}

    def _who_is_up(self) -> str:
        return ", ".join(_readiness(node) for node in self._nodes.all)

    def _submit_goal(self) -> str:
        self._submitted_s = self._telling.now_s()
        self._telling.say(f"{self._nodes.buyer.plan.name} is given its goal")
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

    @property
    def _partners(self) -> list[NodeProcess]:
        return [self._nodes.buyer, *self._nodes.sellers]

    def _follower(self, goal_id: str) -> Follower:
        watched = [(node.plan.name, node.api) for node in self._partners]
        return Follower(goal_id, watched, names_of(self._nodes), self._started_at)

    def _hire(self, goal_id: str, follower: Follower) -> None:
        """Request a tribute of every seller, as soon as the goal is planned."""
        buyer = self._nodes.buyer.api
        self._telling.wait(
            "the goal to be planned",
            STEP_WITHIN_S,
            lambda: buyer.get(f"/tasks/{goal_id}")["status"] != "planning",
            lambda: f"it is {buyer.get(f'/tasks/{goal_id}')['status']}",
        )
        for seller in self._nodes.sellers:
            count = ORDERS[seller.plan.name]
            offering = self._offering_of(seller, count)
            order = {"offering_id": offering["id"], "task_count": count, "goal_id": goal_id}
            buyer.post("/tributes", order)
        for stranger in self._nodes.strangers:
            self._outage.ask(self._offering_of(stranger, 1), goal_id)
        self._view.show(follower.poll())

    def _offering_of(self, seller: NodeProcess, count: int) -> Json:
        """Return the seller's offering as the buyer sees it, once it has enough agents."""
        api = self._nodes.buyer.api

        def offered() -> list[Json]:
            return api.items("/offerings", node=seller.node_id)

        return self._telling.wait(
            f"{seller.plan.name} to offer {count} agents",
            STEP_WITHIN_S,
            lambda: next((each for each in offered() if each["idle_agents"] >= count), None),
            lambda: ", ".join(f"{each['idle_agents']} offered" for each in offered()),
        )

    def _follow(self, follower: Follower) -> None:
        """Show the goal until it has ended; how it ended is for the checks to judge."""
        incidents = Incidents(self._nodes, self._telling.say)
        latest = follower.poll()
        self._view.show(latest)

        def ended() -> bool:
            nonlocal latest
            latest = follower.poll()
            self._view.show(latest)
            incidents.look(latest)
            self._outage.look()
            return latest.ended

        self._telling.wait("the goal to end", GOAL_WITHIN_S, ended, lambda: _progress(latest))
        self._timings["goal_s"] = round(self._telling.now_s() - self._submitted_s, 1)

    def _settle(self, goal_id: str, follower: Follower) -> None:
        """Wait until both sides have closed their books and the worktrees are gone."""

        def settled() -> bool:
            self._view.show(follower.poll())
            return not any(_open_books(node) for node in self._partners)

        def open_books() -> str:
            return ", ".join(filter(None, map(_open_books, self._partners)))

        def expired() -> bool:
            self._outage.look()
            return self._outage.is_over()

        def cleaned() -> bool:
            return not any(
                leftover_worktrees(node.home, self._remote.path) for node in self._partners
            )

        self._telling.wait("all payments to be settled", SETTLE_WITHIN_S, settled, open_books)
        self._telling.wait(
            "the offering of the killed node to expire",
            EXPIRES_WITHIN_S,
            expired,
            self._outage.seen,
        )
        # What is still there then is for the check of unpushed work to judge.
        with suppress(StoryFailed):
            self._telling.wait(
                "the worktrees to be removed", CLEAN_UP_WITHIN_S, cleaned, lambda: ""
            )

    def _note(self, name: str) -> None:
        self._timings[name] = round(self._telling.now_s(), 1)


def is_middle(subtasks: list[Json], emperor_id: str) -> bool:
    """Tell whether something is merged while something is at work at the emperor's own agents."""
    merged = any(task["status"] == "completed" for task in subtasks)
    return merged and any(
        task["status"] == "in_progress" and task["assigned_node"] == emperor_id for task in subtasks
    )


def names_of(nodes: Nodes) -> Names:
    """Return what the story calls its nodes."""
    return Names({node.node_id: node.plan.name for node in nodes.all})


def _has_its_agents(node: NodeProcess) -> bool:
    agents = node.api.get("/status")["agents"]
    return bool(agents["ready"] == node.plan.agents)


def _readiness(node: NodeProcess) -> str:
    if not node.is_ready():
        return f"{node.plan.name} does not answer"
    agents, peers = node.api.get("/status")["agents"], len(node.api.items("/peers"))
    return f"{node.plan.name}: {agents['ready']} of {node.plan.agents} agents, {peers} peers"


def _progress(snapshot: Snapshot) -> str:
    tasks = (f"{task['number']} {task['status']}" for task in snapshot.subtasks)
    return f"the goal is {snapshot.goal['status']}; its subtasks: {', '.join(tasks)}"


def _open_books(node: NodeProcess) -> str:
    """Say what keeps a node's books open; empty when they are closed."""
    tributes, held = node.api.items("/tributes"), node.api.get("/wallet")["held"]
    unpaid = sum(
        execution["payment"] != "committed"
        for tribute in tributes
        for execution in tribute["executions"]
        if execution["status"] == "accepted"
    )
    running = sum(tribute["status"] not in TRIBUTE_ENDED for tribute in tributes)
    if not (unpaid or running or held):
        return ""
    text = f"{running} tributes run, {unpaid} results are unpaid, {held} VOID held"
    return f"{node.plan.name}: {text}"
