"""Answers to dialogs of tools: keys, pressed only while that very dialog is on the screen."""

from __future__ import annotations

import threading
import time

from p2p.protocol.errors import DomainError
from swarm.agents.adapters import Choice, Dialog, ToolAdapter, tool_named
from swarm.agents.screens import asked_id, read_screen
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.models import Agent

CLOSED_WAIT_S = 3.0
POLL_S = 0.05

_answering: set[str] = set()
_lock = threading.Lock()


def answer(agent: Agent, *, dialog_name: str, dialog_id: str, choice_name: str) -> bool:
    """Press the keys of a choice of the open dialog; tell whether it has closed within 3 s.

    Waits for that, so that nobody answers the same dialog twice: the second answer would go to
    the next dialog, unseen. DomainError `no_dialog` where a dialog of another name or none is
    open, `dialog_changed` where the one of this name is not the one that was shown with this id,
    `being_answered` where somebody else has just answered, and `unknown_choice` (422). Raises
    what tmux raises.
    """
    tool = tool_named(agent.tool)
    return press(agent.session, tool, dialog_name, choice_name, dialog_id=dialog_id)


def press(
    session: str, tool: ToolAdapter, dialog_name: str, choice_name: str, *, dialog_id: str
) -> bool:
    """Do what `answer` does in a session of a tool."""
    with _lock:
        if session in _answering:
            raise DomainError("being_answered", f"an answer to {dialog_name!r} is on its way")
        _answering.add(session)
    try:
        return _press(session, tool, dialog_name, choice_name, dialog_id)
    finally:
        with _lock:
            _answering.discard(session)


def _press(
    session: str, tool: ToolAdapter, dialog_name: str, choice_name: str, dialog_id: str
) -> bool:
    tmux = TmuxServer(socket_name())
    screen = tmux.capture_screen(session)
    seen = read_screen(tool, screen)
    dialog = seen.dialog if seen is not None else None
    if dialog is None or dialog.name != dialog_name:
        shown = f"{seen.rule}: {seen.line}" if seen else "nothing that a rule reads"
        raise DomainError("no_dialog", f"the dialog {dialog_name!r} is not open; shown: {shown}")
    if asked_id(dialog, screen) != dialog_id:
        raise DomainError(
            "dialog_changed", f"{dialog_name!r} asks something else by now: look at it again"
        )
    tmux.send_keys(session, _choice(dialog, choice_name).keys)
    deadline = time.monotonic() + CLOSED_WAIT_S
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        if tmux.pane_dead(session) is not None:
            return True
        if _has_closed(tool, dialog, screen, tmux.capture_screen(session)):
            return True
    return False


def _choice(dialog: Dialog, name: str) -> Choice:
    for choice in dialog.choices:
        if choice.name == name:
            return choice
    known = ", ".join(choice.name for choice in dialog.choices) or "none"
    raise DomainError("unknown_choice", f"choice {name!r} is not known; known: {known}", status=422)


def _has_closed(tool: ToolAdapter, dialog: Dialog, before: str, after: str) -> bool:
    """Tell whether the dialog is gone; one of the same kind that asks something else is another."""
    seen = read_screen(tool, after)
    if seen is None or seen.dialog is None or seen.dialog.name != dialog.name:
        return True
    return asked_id(dialog, before) != asked_id(dialog, after)
