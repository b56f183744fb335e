"""From one look at a terminal to evidence: process, hooks, screen and silence, with memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from swarm.agents.adapters import Dialog, ToolAdapter
from swarm.agents.judging import Evidence, Judgement, judge
from swarm.agents.screens import (
    Seen,
    SeenWindow,
    asked_id,
    read_screen,
    read_window,
    tells_of_window,
)
from swarm.agents.signals import Signal
from swarm.agents.views import AgentView
from swarm.states import AgentStatus

BOOT_S = 60.0


@dataclass(frozen=True, slots=True)
class Pane:
    """A session's terminal: the exit code of its program where that has ended."""

    ended: int | None


@dataclass(slots=True)
class Memory:
    """What the earlier looks at one run saw: since when the screen shows what it shows."""

    first_look_at: datetime
    screen: str = ""
    changed_at: datetime | None = None
    shown: tuple[str, str] = ("", "")
    rule_since: datetime | None = None
    ended_at: datetime | None = None
    seen: Seen | None = None
    window: SeenWindow | None = None
    old_window: SeenWindow | None = None
    said_again: bool = False
    words_are_gone: bool = True
    judged: Judgement | None = field(default=None)

    def note_screen(self, tool: ToolAdapter, screen: str, now: datetime) -> None:
        """Take a new screen; one that has not changed costs nothing."""
        if self.changed_at is not None and screen == self.screen:
            return
        self.screen, self.changed_at = screen, now
        self.seen = read_screen(tool, screen)
        self._note_window(tool, screen)
        shown = (self.seen.rule if self.seen else "", self.dialog_id)
        if shown != self.shown or self.rule_since is None:
            self.shown, self.rule_since = shown, now

    def _note_window(self, tool: ToolAdapter, screen: str) -> None:
        self.words_are_gone = not tells_of_window(tool, screen)
        self.window = read_window(tool, screen)
        if self.window is None:
            return
        old, self.old_window = self.old_window, self.window
        same = old is not None and old.key == self.window.key
        self.said_again = same and old is not None and old.times < self.window.times

    @property
    def dialog(self) -> Dialog | None:
        """The dialog that the screen shows."""
        return self.seen.dialog if self.seen else None

    @property
    def dialog_id(self) -> str:
        """What tells the open dialog from another one of its kind; empty without one."""
        return asked_id(self.dialog, self.screen) if self.dialog else ""

    @property
    def awaits_redraw(self) -> bool:
        """Tell whether signal and screen disagree on an open dialog: one of them comes late."""
        if self.judged is None:
            return False
        announced = (self.judged.state, self.judged.source) == (AgentStatus.BLOCKED, "hook")
        blocked = self.judged.state == AgentStatus.BLOCKED
        return announced if self.dialog is None else not blocked


def judged(
    view: AgentView,
    tool: ToolAdapter,
    pane: Pane | None,
    signal: Signal | None,
    memory: Memory,
    now: datetime,
) -> Judgement:
    """Judge an agent by all evidence of this look; a prompt after its start is `waiting_input`."""
    evidence = [
        *_said(view),
        *_signalled(tool, signal),
        *_process(view, pane, memory, now),
        *_screen(memory),
        _silence(view, memory, now),
    ]
    if waits_for_window(view, memory):
        evidence = _with_window(view, memory, evidence, now)
    waits = [_after_start(each) if view.started else each for each in evidence]
    memory.judged = judge(waits, now)
    return memory.judged


def waits_for_window(view: AgentView, memory: Memory) -> bool:
    """Tell whether the screen shows an exhausted usage window that is not known to be over."""
    seen, noted = memory.window, view.window
    if seen is None:
        return False
    return noted is None or noted.key != seen.key or noted.until is not None


def _with_window(
    view: AgentView, memory: Memory, evidence: list[Evidence], now: datetime
) -> list[Evidence]:
    """Put the window in the place of what the screen shows else; an open dialog stays first.

    A turn that ended for want of allowance does not make its tool ready.
    """
    assert memory.window is not None
    kept = [
        each
        for each in evidence
        if memory.dialog is not None
        or (each.source != "screen" and each.state not in (AgentStatus.READY, AgentStatus.WORKING))
    ]
    until = view.window.until if view.window is not None else None
    text = f"{memory.window.shown} (until {until:%Y-%m-%d %H:%M} UTC)" if until else ""
    found = Evidence(
        source="screen",
        state=AgentStatus.BLOCKED,
        rule=memory.window.rule.name,
        text=text or memory.window.shown,
        at=memory.rule_since or now,
    )
    return [*kept, found]


def _after_start(one: Evidence) -> Evidence:
    if one.state != AgentStatus.READY:
        return one
    return Evidence(
        source=one.source,
        state=AgentStatus.WAITING_INPUT,
        rule=one.rule,
        text=one.text,
        at=one.at,
    )


def _said(view: AgentView) -> list[Evidence]:
    if view.said is None:
        return []
    source, state, text, at = view.said
    kind = "mcp" if source == "mcp" else "hook"
    return [
        Evidence(
            source="mcp" if kind == "mcp" else "hook",
            state=AgentStatus(state),
            rule=f"{kind}_call",
            text=text,
            at=at,
        )
    ]


def _signalled(tool: ToolAdapter, signal: Signal | None) -> list[Evidence]:
    state = tool.hooks.states.get(signal.name) if tool.hooks and signal else None
    if signal is None or state is None:
        return []
    text = f"the tool's hook said {signal.name}"
    return [
        Evidence(source="hook", state=AgentStatus(state), rule=signal.name, text=text, at=signal.at)
    ]


def _process(view: AgentView, pane: Pane | None, memory: Memory, now: datetime) -> list[Evidence]:
    if pane is not None and pane.ended is None:
        memory.ended_at = None
        return []
    memory.ended_at = memory.ended_at or now
    if pane is None:
        rule, text = "session_gone", f"session {view.session} is gone"
    else:
        rule, text = "process_ended", f"the program of session {view.session} ended: {pane.ended}"
    return [
        Evidence(
            source="process", state=AgentStatus.EXITED, rule=rule, text=text, at=memory.ended_at
        )
    ]


def _screen(memory: Memory) -> list[Evidence]:
    if memory.seen is None or memory.rule_since is None:
        return []
    return [
        Evidence(
            source="screen",
            state=AgentStatus(memory.seen.state),
            rule=memory.seen.rule,
            text=memory.seen.line,
            at=memory.rule_since,
            dialog=memory.dialog is not None,
        )
    ]


def _silence(view: AgentView, memory: Memory, now: datetime) -> Evidence:
    since = memory.changed_at or memory.first_look_at
    booting = not view.started and now - memory.first_look_at < timedelta(seconds=BOOT_S)
    if booting:
        return Evidence(
            source="silence",
            state=AgentStatus.STARTING,
            rule="booting",
            text="the tool was started and shows no prompt yet",
            at=memory.first_look_at,
        )
    shown = "no rule reads its screen" if memory.screen.strip() else "its screen is blank"
    return Evidence(
        source="silence", state=AgentStatus.UNKNOWN, rule="nothing_read", text=shown, at=since
    )
