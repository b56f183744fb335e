"""Answers to dialogs of tools: keys, pressed only while that very dialog is on the screen."""

from __future__ import annotations

from p2p.protocol.errors import DomainError
from swarm.agents.adapters import tool_named
from swarm.agents.screens import read_screen
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.models import Agent


def answer(agent: Agent, *, dialog_name: str, choice_name: str) -> None:
    """Press the keys of a choice of the open dialog; raises what tmux raises.

    DomainError `no_dialog` where another dialog or none is open, and `unknown_choice` (422).
    """
    tmux, tool = TmuxServer(socket_name()), tool_named(agent.tool)
    seen = read_screen(tool, tmux.capture_screen(agent.session))
    dialog = seen.dialog if seen is not None else None
    if dialog is None or dialog.name != dialog_name:
        shown = f"{seen.rule}: {seen.line}" if seen else "nothing that a rule reads"
        raise DomainError("no_dialog", f"the dialog {dialog_name!r} is not open; shown: {shown}")
    for choice in dialog.choices:
        if choice.name == choice_name:
            tmux.send_keys(agent.session, choice.keys)
            return
    known = ", ".join(choice.name for choice in dialog.choices) or "none"
    message = f"choice {choice_name!r} is not known; known: {known}"
    raise DomainError("unknown_choice", message, status=422)
