"""What each part of the dashboard shows, as contexts for its template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects

from marketplace.models import LedgerEntry, SellingPolicy, Tribute
from marketplace.queries import describe_wallet, live_offerings
from p2p.local import local_node
from p2p.nodes import list_nodes
from p2p.posts.queries import live_posts
from swarm.forge.queries import list_contributions
from swarm.models import Agent, RemoteAgent, Task, TaskCopy
from swarm.queries import list_goals, troubled_jobs
from swarm.replication.agents import describe_remote
from swarm.replication.pulses import silences_s
from swarm.states import TASK_TERMINAL, TaskStatus
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.attention import count_waiting, read_attention
from voidlux_site.dashboard.context import Context, node_context
from voidlux_site.dashboard.election import election
from voidlux_site.dashboard.market import books, deals, offers, partners
from voidlux_site.dashboard.phases import PhaseStep, pipeline

GOALS_SHOWN = 20
COPIES_SHOWN = 10
REMOTE_SHOWN = 50
OFFERINGS_SHOWN = 5
TRIBUTES_SHOWN = 5
ENTRIES_SHOWN = 8
PEERS_SHOWN = 50
POSTS_SHOWN = 20
CONTRIBUTIONS_SHOWN = 50
FINISHED_OPEN = 1


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
    """A part of the page: its template, context and the event types that refresh it.

    One that is `filtered` has a form on its page and comes in pages.
    """

    name: str
    context: Callable[[Asked], Context]
    events: str
    filtered: bool = False

    @property
    def template(self) -> str:
        """The template of the part's inside; those of the market are in a folder of their own."""
        folder, _, name = self.name.rpartition("-")
        return f"dashboard/{folder or 'parts'}/{name}.html"

    @property
    def filter(self) -> str:
        """The selector of what its requests include: its form's fields and the page it is at."""
        return f"#{self.name}-filter, #part-{self.name} [name=page]"


def _wallet(asked: Asked) -> Context:
    return {"wallet": describe_wallet()}


def _trouble(asked: Asked) -> Context:
    return {"jobs": troubled_jobs()}


def _tasks(asked: Asked) -> Context:
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


def _agents(asked: Asked) -> Context:
    silences = silences_s(asked.now)
    remote = [
        {
            **describe_remote(row, silent_s=silences.get(row.node_id)),
            "since": row.status_since,
            "silent_s": silences.get(row.node_id),
        }
        for row in RemoteAgent.objects.all()[:REMOTE_SHOWN]
    ]
    return {"agents": list(Agent.objects.select_related("attempt")), "remote": remote}


def _attention(asked: Asked) -> Context:
    return {"attention": read_attention(asked.now)}


def _waiting(asked: Asked) -> Context:
    return {"waiting": count_waiting()}


def _offerings(asked: Asked) -> Context:
    own_id = local_node().node_id
    live = live_offerings(asked.now)
    others = live.exclude(node_id=own_id)
    return {
        "offerings": list(others[:OFFERINGS_SHOWN]),
        "hidden": max(0, others.count() - OFFERINGS_SHOWN),
        "own": live.filter(node_id=own_id).first(),
        "selling": SellingPolicy.objects.filter(id=1, selling=True).first(),
    }


def _tributes(asked: Asked) -> Context:
    rows = list(Tribute.objects.prefetch_related("executions__payment")[: TRIBUTES_SHOWN + 1])
    return {
        "tributes": deals.views_of(rows[:TRIBUTES_SHOWN], asked.now),
        "more": len(rows) > TRIBUTES_SHOWN,
    }


def _ledger(asked: Asked) -> Context:
    entries = list(LedgerEntry.objects.all()[: ENTRIES_SHOWN + 1])
    return {"entries": entries[:ENTRIES_SHOWN], "more": len(entries) > ENTRIES_SHOWN}


def _peers(asked: Asked) -> Context:
    nodes = [node for node in list_nodes() if node.node_id != local_node().node_id]
    return {
        "peers": nodes[:PEERS_SHOWN],
        "connected": sum(node.connected for node in nodes),
        "hidden": max(0, len(nodes) - PEERS_SHOWN),
    }


def _posts(asked: Asked) -> Context:
    posts = live_posts(asked.now)
    return {"posts": list(posts[:POSTS_SHOWN]), "hidden": max(0, posts.count() - POSTS_SHOWN)}


_WAITING_EVENTS = "task_update agent_update delivery_update pull_request_update tribute_update"


def _contributions(asked: Asked) -> Context:
    contributions, hidden = list_contributions(CONTRIBUTIONS_SHOWN)
    return {"contributions": contributions, "hidden": hidden}


PARTS = {
    part.name: part
    for part in (
        Part("wallet", _wallet, "wallet_update"),
        Part("election", election, "election_update"),
        Part("waiting", _waiting, _WAITING_EVENTS),
        Part("attention", _attention, _WAITING_EVENTS),
        Part("trouble", _trouble, "task_update tribute_update"),
        Part("tasks", _tasks, "task_update test_run_update pull_request_update"),
        Part("agents", _agents, "agent_update"),
        Part("offerings", _offerings, "offering_update"),
        Part("tributes", _tributes, "tribute_update"),
        Part("ledger", _ledger, "wallet_update"),
        Part("peers", _peers, "peer_update election_update"),
        Part("posts", _posts, "post_update"),
        Part("contributions", _contributions, "pull_request_update task_update"),
        Part("market-queue", deals.queue, "tribute_update"),
        Part("market-offerings", offers.offerings, "offering_update", filtered=True),
        Part("market-ended", offers.ended, "offering_update", filtered=True),
        Part("market-selling", offers.selling, "offering_update agent_update"),
        Part("market-buying", offers.buying, "wallet_update"),
        Part("market-tributes", deals.tributes, "tribute_update", filtered=True),
        Part("market-partners", partners.partners, "tribute_update"),
        Part("market-ledger", books.ledger, "wallet_update", filtered=True),
    )
}
_HEADER_PARTS = ("waiting", "wallet", "election")
_MARKET_PARTS = tuple(name for name in PARTS if name.startswith("market-"))
_OF_OTHER_PAGES = ("contributions", *_MARKET_PARTS)


def part_context(name: str, asked: Asked) -> Context:
    """Return the whole context of a part; KeyError for an unknown name."""
    part = PARTS[name]
    return {**node_context(asked.now), **part.context(asked), "part": part}


def page_context(now: datetime) -> Context:
    """Return the context of the dashboard: its parts, each with its own."""
    return _context_of([name for name in PARTS if name not in _OF_OTHER_PAGES], now)


def contributions_context(now: datetime) -> Context:
    """Return the context of the page of contributions."""
    return _context_of([*_HEADER_PARTS, "contributions"], now)


def market_context(now: datetime) -> Context:
    """Return the context of the market: its parts, and what its filters offer to choose from."""
    return {
        **_context_of([*_HEADER_PARTS, *_MARKET_PARTS], now),
        "known_capabilities": offers.known_capabilities(),
        "counterparties": books.counterparties(),
    }


def _context_of(names: list[str], now: datetime) -> Context:
    parts = {name.replace("-", "_"): part_context(name, Asked(now)) for name in names}
    return {**node_context(now), "parts": parts}
