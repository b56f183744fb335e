"""Typing into a terminal, verified: the text is seen in the input box before it is sent off."""

from __future__ import annotations

import time

from swarm.agents.adapters import ToolAdapter
from swarm.agents.screens import read_screen
from swarm.agents.texts import shows
from swarm.agents.tmux import ROWS, TmuxServer
from swarm.services.deliveries import queue_delivery

__all__ = ["is_shown", "queue_delivery", "submit", "type_text"]

PASTE_SEEN_S = 5.0
POLL_S = 0.05


def type_text(
    tmux: TmuxServer, session: str, tool: ToolAdapter, text: str, *, again: bool
) -> str | None:
    """Paste a text, see it in the input box and send it off; None, or why it was not sent off.

    The submit key is pressed only when the text is seen and no dialog is: it would answer the
    dialog. Blocks for some seconds; raises what tmux raises.
    """
    if (refusal := _not_ready(tmux, session, tool)) is not None:
        return refusal
    if again and tool.typing.clear:
        tmux.send_keys(session, tool.typing.clear)
    tmux.paste(session, text, enter=False, bracketed=tool.typing.bracketed_paste)
    deadline = time.monotonic() + PASTE_SEEN_S
    while not is_shown(tmux, session, tool, text):
        if (refusal := _dialog(tmux, session, tool)) is not None:
            return f"{refusal} opened while the text was pasted"
        if time.monotonic() > deadline:
            return f"the pasted text was not seen in the input box within {PASTE_SEEN_S:.0f} s"
        time.sleep(POLL_S)
    if (refusal := _dialog(tmux, session, tool)) is not None:
        return f"{refusal} opened after the text was pasted"
    submit(tmux, session, tool)
    return None


def submit(tmux: TmuxServer, session: str, tool: ToolAdapter) -> None:
    """Press what sends the input box off."""
    tmux.send_keys(session, tool.typing.submit)


def is_shown(tmux: TmuxServer, session: str, tool: ToolAdapter, text: str) -> bool:
    """Tell whether the screen shows the text or what the tool shows in its place."""
    return shows(tmux.capture_screen(session), text, tool.typing.shown_as)


def _not_ready(tmux: TmuxServer, session: str, tool: ToolAdapter) -> str | None:
    seen = read_screen(tool, tmux.capture_screen(session))
    if seen is None:
        return f"no rule reads the screen of {ROWS} lines any more"
    return None if seen.state == "ready" else f"{seen.rule}: {seen.line}"


def _dialog(tmux: TmuxServer, session: str, tool: ToolAdapter) -> str | None:
    seen = read_screen(tool, tmux.capture_screen(session))
    return f"the dialog {seen.rule}" if seen is not None and seen.state == "blocked" else None
