"""Shows a goal's progress: a live picture on a terminal, one plain line per event in a pipe."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from voidlux_site.demo.client import Json
from voidlux_site.demo.following import News, Snapshot
from voidlux_site.demo.names import Names

NEWS_SHOWN = 8
SUBJECT_CHARS = 26
STATUS_CHARS = 14
STYLES = {
    "pending": "dim",
    "blocked": "dim",
    "planning": "cyan",
    "claimed": "cyan",
    "in_progress": "bold cyan",
    "waiting_input": "bold yellow",
    "pending_review": "blue",
    "merging": "magenta",
    "completed": "bold green",
    "accepted": "green",
    "paid": "green",
    "sent back": "bold yellow",
    "failed": "bold red",
    "rejected": "bold red",
    "expired": "yellow",
    "cancelled": "yellow",
}


class View(Protocol):
    """What a story is told through."""

    def say(self, text: str, at_s: float | None = None) -> None: ...

    def show(self, snapshot: Snapshot) -> None: ...

    def __enter__(self) -> View: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PlainView:
    """One line per event, without escape codes: for pipes, logs and dumb terminals."""

    def __init__(self, console: Console) -> None:
        """Take the console to write to."""
        self._console = console

    def say(self, text: str, at_s: float | None = None) -> None:
        """Write a line of the story; `at_s` is in seconds since the start."""
        self._write(Text(f"{_clock(at_s)}{text}"))

    def show(self, snapshot: Snapshot) -> None:
        """Write what is new."""
        for news in snapshot.news:
            self._write(Text(plain_line(news)))

    def __enter__(self) -> PlainView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def _write(self, text: Text) -> None:
        # A pipe has no width: a line is a line, for grep and for the log of a CI run.
        self._console.print(text, soft_wrap=True)


class LiveView:
    """A picture that is redrawn in place, with the latest events under it."""

    def __init__(self, console: Console, names: Names) -> None:
        """Take the terminal and what the nodes are called."""
        self._console = console
        self._names = names
        self._latest: deque[News] = deque(maxlen=NEWS_SHOWN)
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def say(self, text: str, at_s: float | None = None) -> None:
        """Write a line that stays, above the picture."""
        self._console.print(Text(f"{_clock(at_s)}{text}"))

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the picture."""
        self._latest.extend(snapshot.news)
        self._live.update(picture(snapshot, list(self._latest), self._names))

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the picture away; what was said stays."""
        self._live.update(Text(""))
        self._live.stop()


def view_for(console: Console, names: Names) -> View:
    """Return the view that fits the console."""
    lively = console.is_terminal and not console.is_dumb_terminal
    return LiveView(console, names) if lively else PlainView(console)


def plain_line(news: News) -> str:
    """Return an event as one line of text."""
    subject = news.subject[:SUBJECT_CHARS]
    line = f"{subject:<{SUBJECT_CHARS}}  {news.status:<{STATUS_CHARS}}  {news.text}"
    return f"{_clock(news.at_s)}{line}"


def picture(snapshot: Snapshot, latest: list[News], names: Names) -> RenderableType:
    """Return the whole state: the goal, its subtasks, the wallets and the latest events."""
    goal = snapshot.goal
    head = Text.assemble(
        (goal["title"], "bold"),
        "  ",
        (goal["status"].replace("_", " "), STYLES.get(goal["status"], "")),
        (f"  {snapshot.at_s:.0f} s", "dim"),
        (f"  {goal['progress']}" if goal["status"] == "planning" else "", "dim"),
    )
    return Group(
        Text(""),
        head,
        pipeline(snapshot.subtasks, names),
        *([_purses(snapshot.wallets)] if snapshot.wallets else []),
        Text(""),
        *(_news_line(news) for news in latest),
    )


def pipeline(subtasks: list[Json], names: Names) -> Table:
    """Return one row per subtask: number and title, status, attempt, who, and whether hired."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Subtask", "Status", "Try", "Done by", ""):
        table.add_column(name, header_style="dim", no_wrap=True, overflow="ellipsis")
    for task in subtasks:
        table.add_row(*_pipeline_row(task, names))
    return table


def _pipeline_row(task: Json, names: Names) -> tuple[Text, ...]:
    status = str(task["status"])
    attempt = f"{task['attempt']}/{task['attempts_max']}" if task["attempt"] else ""
    return (
        Text.assemble((f"{task['number']:>2} ", "dim"), task["title"]),
        Text(status.replace("_", " "), STYLES.get(status, "")),
        Text(attempt, "yellow" if task["attempt"] > 1 else "dim"),
        Text(names.agent(task["assigned_agent"], task["assigned_node"])),
        Text("hired", "magenta") if task["tribute_id"] else Text(""),
    )


def _purses(wallets: dict[str, Json]) -> Text:
    parts = []
    for name, wallet in wallets.items():
        held = f" ({wallet['held']} held)" if wallet["held"] else ""
        parts.append(f"{name} {wallet['balance']}{held}")
    return Text(f"   VOID   {'   '.join(parts)}", "yellow")


def _news_line(news: News) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(_clock(news.at_s), "dim")
    line.append(f"{news.subject[:SUBJECT_CHARS]}  ")
    line.append(news.status.replace("_", " "), STYLES.get(news.status, ""))
    line.append(f"  {news.text}", "dim")
    return line


def _clock(at_s: float | None) -> str:
    return "" if at_s is None else f"{at_s:6.1f} s  "
