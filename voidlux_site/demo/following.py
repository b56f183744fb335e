"""Follows a goal over the API: the present state, and what happened since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.names import Names

SENT_BACK = "sent back"
TASK_ENDED = frozenset({"completed", "failed", "cancelled"})
TRIBUTE_ENDED = frozenset({"completed", "failed", "cancelled", "rejected", "expired"})


@dataclass(frozen=True)
class News:
    """One thing that happened: seconds since the start, whom it concerns, what, how it looks."""

    at_s: float
    subject: str
    status: str
    text: str


@dataclass(frozen=True)
class Snapshot:
    """A goal at one moment, as its node's API shows it, with the wallets of all watched nodes."""

    at_s: float
    goal: Json
    subtasks: list[Json]
    wallets: dict[str, Json]
    news: list[News] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the goal has come to its end, good or bad."""
        return self.goal["status"] in TASK_ENDED


class Follower:
    """Looks at a goal again and again; `poll` raises what NodeClient raises."""

    def __init__(
        self,
        goal_id: str,
        watched: Sequence[tuple[str, NodeClient]],
        names: Names,
        started_at: datetime,
        api: NodeClient | None = None,
    ) -> None:
        """Take the goal, the (name, client) of its node and then of others, and the time 0.

        With `api` the goal is looked at there, wherever that leads to.
        """
        self._goal_id = goal_id
        self._watched = list(watched)
        self._names = names
        self._started_at = started_at
        self._api = api or self._watched[0][1]
        self._looked_at: dict[str, str] = {}
        # Not by their ids: another emperor counts the history that it took over anew.
        self._events_seen: set[tuple[str, str, str]] = set()
        self._deals_seen: dict[str, str] = {}

    def poll(self) -> Snapshot:
        """Return the goal's present state and everything new in it."""
        goal = self._api.get(f"/tasks/{self._goal_id}")
        subtasks = self._api.items(f"/tasks/{self._goal_id}/subtasks")
        news = [each for task in (*subtasks, goal) for each in self._task_news(task)]
        news += self._deal_news()
        return Snapshot(
            at_s=self.seconds(datetime.now(UTC)),
            goal=goal,
            subtasks=subtasks,
            wallets={name: api.get("/wallet") for name, api in self._watched},
            news=sorted(news, key=lambda each: each.at_s),
        )

    def look_anew(self) -> None:
        """Look at every history again: another node tells it from now on."""
        self._looked_at.clear()

    def seconds(self, moment: datetime) -> float:
        """Return seconds since the start."""
        return (moment - self._started_at).total_seconds()

    def _task_news(self, task: Json) -> list[News]:
        if self._looked_at.get(task["id"]) == task["updated_at"]:
            return []
        self._looked_at[task["id"]] = task["updated_at"]
        events = self._api.items(f"/tasks/{task['id']}/events")
        keys = [(str(task["id"]), str(each["at"]), str(each["target"])) for each in events]
        fresh = [
            each for each, key in zip(events, keys, strict=True) if key not in self._events_seen
        ]
        self._events_seen.update(keys)
        subject = f"{task['number']} {task['title']}" if task["parent_id"] else "Goal"
        return [
            self._news(event["at"], subject, _what_of(event), _reason_of(event)) for event in fresh
        ]

    def _deal_news(self) -> list[News]:
        news = []
        for tribute in reversed(self._api.items("/tributes")):
            if tribute["goal_id"] != self._goal_id:
                continue
            subject = f"Tribute {tribute['id'][:8]}"
            if self._is_new(tribute["id"], tribute["status"]):
                text = _deal_text(tribute, self._names)
                news.append(self._news(tribute["updated_at"], subject, tribute["status"], text))
            for done in tribute["executions"]:
                paid = done["payment"] == "committed"
                if paid and self._is_new(f"{tribute['id']}{done['task_id']}", "paid"):
                    seller = self._names.node(tribute["to_node_id"])
                    text = f"{tribute['price_per_task']} VOID to {seller} for “{done['title']}”"
                    news.append(self._news(done["closed_at"], subject, "paid", text))
        return news

    def _is_new(self, key: str, status: str) -> bool:
        known = self._deals_seen.get(key)
        self._deals_seen[key] = status
        return known != status

    def _news(self, at: str, subject: str, status: str, text: str) -> News:
        moment = datetime.fromisoformat(at)
        return News(self.seconds(moment), subject, status, self._names.tidy(text))


def _what_of(event: Json) -> str:
    """Return the status that a task moved to, or `sent back` where work begins again."""
    again = event["target"] == "pending" and event["source"] not in ("", "blocked")
    return SENT_BACK if again else str(event["target"])


def _reason_of(event: Json) -> str:
    """Return the first line of a reason; what may collide is news only once there is work."""
    text = str(event["reason"]).strip()
    line = text.splitlines()[0] if text else ""
    return line.partition("; may meet ")[0] if event["target"] == "claimed" else line


def _deal_text(tribute: Json, names: Names) -> str:
    count, price = tribute["task_count"], tribute["price_per_task"]
    what = f"{count} task{'s' if count > 1 else ''} at {price} VOID from "
    reason = f": {tribute['reason']}" if tribute["reason"] else ""
    back = tribute["released_count"]
    unused = f", {back} not used and given back" if back else ""
    return f"{what}{names.node(tribute['to_node_id'])}{reason}{unused}"
