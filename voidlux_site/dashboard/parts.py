"""What each part of the dashboard shows, as contexts for its template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import prefetch_related_objects

from marketplace.models import LedgerEntry, SellingPolicy, Tribute
from marketplace.queries import describe_wallet, live_offerings
from marketplace.states import TributeStatus
from p2p.local import local_node
from p2p.nodes import list_nodes
from p2p.posts.queries import live_posts
from swarm.forge.queries import list_contributions
from swarm.models import Agent, RemoteAgent, Task, TaskCopy
from swarm.queries import list_goals, troubled_jobs
from swarm.replication.agents import describe_remote
from swarm.replication.pulses import silences_s
from swarm.states import TASK_TERMINAL, TaskStatus
from voidlux_site.dashboard.attention import count_waiting, read_attention
from voidlux_site.dashboard.phases import PhaseStep, pipeline

GOALS_SHOWN = 20
COPIES_SHOWN = 10
REMOTE_SHOWN = 50
TRIBUTES_SHOWN = 20
ENTRIES_SHOWN = 25
PEERS_SHOWN = 50
POSTS_SHOWN = 20
CONTRIBUTIONS_SHOWN = 50
FINISHED_OPEN = 1

Context = dict[str, Any]


@dataclass(frozen=True)
class GoalView:
    """A goal as its card shows it; `expanded` is how it looks until a user decides."""

    task: Task
    steps: list[PhaseStep]
    subtasks: list[Task]
    done: int
    expanded: bool
    ended: bool


@dataclass(frozen=True)
class Part:
    """A part of the page: its template, context and the event types that refresh it."""

    name: str
    context: Callable[[datetime], Context]
    events: str

    @property
    def template(self) -> str:
        """The template of the part's inside."""
        return f"dashboard/parts/{self.name}.html"


def node_context(now: datetime) -> Context:
    """Return what every template may need: who this node is."""
    return {"node": local_node(), "role": settings.ENVIRONMENT.role, "now": now}


def _wallet(now: datetime) -> Context:
    return {"wallet": describe_wallet()}


def _trouble(now: datetime) -> Context:
    return {"jobs": troubled_jobs()}


def _tasks(now: datetime) -> Context:
    goals = list_goals(GOALS_SHOWN)
    prefetch_related_objects(goals, "merge_runs", "test_runs", "pull_request")
    shown = Task.objects.filter(parent__isnull=True, archived_at__isnull=True)
    return {
        "goals": [_goal_view(goal, place) for place, goal in enumerate(goals)],
        "hidden": max(0, shown.count() - len(goals)),
        "copies": _copies(),
    }


def _copies() -> list[Context]:
    """Return the newest goals of other emperors, each with its subtasks in plan order."""
    shown = TaskCopy.objects.filter(archived_at__isnull=True)
    goals = list(shown.filter(parent_id__isnull=True).order_by("-created_at")[:COPIES_SHOWN])
    below: dict[Any, list[Context]] = {goal.id: [] for goal in goals}
    for copy in shown.filter(parent_id__in=below).order_by("number"):
        below[copy.parent_id].append({"row": copy, "body": copy.body})
    return [
        {
            "row": goal,
            "body": goal.body,
            "subtasks": below[goal.id],
            "done": sum(each["row"].status == TaskStatus.COMPLETED for each in below[goal.id]),
        }
        for goal in goals
    ]


def _goal_view(goal: Task, place: int) -> GoalView:
    subtasks = sorted(goal.subtasks.all(), key=lambda task: task.number)
    ended = goal.status in TASK_TERMINAL
    return GoalView(
        task=goal,
        steps=pipeline(goal),
        subtasks=subtasks,
        done=sum(task.status == TaskStatus.COMPLETED for task in subtasks),
        expanded=not ended or place < FINISHED_OPEN,
        ended=ended,
    )


def _agents(now: datetime) -> Context:
    silences = silences_s(now)
    remote = [
        {
            **describe_remote(row, silent_s=silences.get(row.node_id)),
            "since": row.status_since,
            "silent_s": silences.get(row.node_id),
        }
        for row in RemoteAgent.objects.all()[:REMOTE_SHOWN]
    ]
    return {"agents": list(Agent.objects.select_related("attempt")), "remote": remote}


def _attention(now: datetime) -> Context:
    return {"attention": read_attention()}


def _waiting(now: datetime) -> Context:
    return {"waiting": count_waiting()}


def _offerings(now: datetime) -> Context:
    own_id = local_node().node_id
    offerings = list(live_offerings(now))
    return {
        "offerings": [each for each in offerings if each.node_id != own_id],
        "own": next((each for each in offerings if each.node_id == own_id), None),
        "selling": SellingPolicy.objects.filter(id=1, selling=True).first(),
    }


def _tributes(now: datetime) -> Context:
    own_id = local_node().node_id
    rows = Tribute.objects.prefetch_related("executions__payment")[:TRIBUTES_SHOWN]
    return {"tributes": [_tribute_view(row, own_id) for row in rows]}


def _tribute_view(tribute: Tribute, own_id: str) -> Context:
    buying = tribute.from_node_id == own_id
    pending = tribute.status == TributeStatus.PENDING
    return {
        "row": tribute,
        "buying": buying,
        "other_node_id": tribute.to_node_id if buying else tribute.from_node_id,
        "decides": pending and not buying,
        "cancellable": buying and (pending or tribute.status == TributeStatus.ACCEPTED),
        "executions": list(tribute.executions.all()),
    }


def _ledger(now: datetime) -> Context:
    entries = list(LedgerEntry.objects.all()[: ENTRIES_SHOWN + 1])
    return {"entries": entries[:ENTRIES_SHOWN], "more": len(entries) > ENTRIES_SHOWN}


def _peers(now: datetime) -> Context:
    nodes = [node for node in list_nodes() if node.node_id != local_node().node_id]
    return {
        "peers": nodes[:PEERS_SHOWN],
        "connected": sum(node.connected for node in nodes),
        "hidden": max(0, len(nodes) - PEERS_SHOWN),
    }


def _posts(now: datetime) -> Context:
    posts = live_posts(now)
    return {"posts": list(posts[:POSTS_SHOWN]), "hidden": max(0, posts.count() - POSTS_SHOWN)}


_WAITING_EVENTS = "task_update agent_update delivery_update pull_request_update"


def _contributions(now: datetime) -> Context:
    contributions, hidden = list_contributions(CONTRIBUTIONS_SHOWN)
    return {"contributions": contributions, "hidden": hidden}


PARTS = {
    part.name: part
    for part in (
        Part("wallet", _wallet, "wallet_update"),
        Part("waiting", _waiting, _WAITING_EVENTS),
        Part("attention", _attention, _WAITING_EVENTS),
        Part("trouble", _trouble, "task_update tribute_update"),
        Part("tasks", _tasks, "task_update test_run_update pull_request_update"),
        Part("agents", _agents, "agent_update"),
        Part("offerings", _offerings, "offering_update"),
        Part("tributes", _tributes, "tribute_update"),
        Part("ledger", _ledger, "wallet_update"),
        Part("peers", _peers, "peer_update"),
        Part("posts", _posts, "post_update"),
        Part("contributions", _contributions, "pull_request_update task_update"),
    )
}
_HEADER_PARTS = ("waiting", "wallet")


def part_context(name: str, now: datetime) -> Context:
    """Return the whole context of a part; KeyError for an unknown name."""
    part = PARTS[name]
    return {**node_context(now), **part.context(now), "part": part}


def page_context(now: datetime) -> Context:
    """Return the context of the dashboard: its parts, each with its own."""
    return _context_of([name for name in PARTS if name != "contributions"], now)


def contributions_context(now: datetime) -> Context:
    """Return the context of the page of contributions."""
    return _context_of([*_HEADER_PARTS, "contributions"], now)


def _context_of(names: list[str], now: datetime) -> Context:
    return {**node_context(now), "parts": {name: part_context(name, now) for name in names}}
