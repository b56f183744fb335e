"""Texts that go into a terminal: no character of them may act as a key."""

from __future__ import annotations

import re

from p2p.protocol.errors import DomainError
from swarm.agents.tmux import PASTE_BYTES_MAX

# All control characters but tab and line feed; escape sequences begin with one of them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])?")


def cleaned(text: str) -> tuple[str, int]:
    """Return the text without control characters and escape sequences, and how many were removed.

    Line ends become line feeds, which is no loss. DomainError `bad_text` (422) where nothing is
    left, where it is no Unicode, or where it is larger than what is pasted at once.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = without_escapes(unified)
    if not plain.strip():
        raise DomainError("bad_text", "the text is empty", status=422)
    try:
        size = len(plain.encode())
    except UnicodeEncodeError as error:
        raise DomainError("bad_text", f"the text is not Unicode: {error}", status=422) from error
    if size > PASTE_BYTES_MAX:
        message = f"text of {size} bytes exceeds {PASTE_BYTES_MAX}"
        raise DomainError("bad_text", message, status=422)
    return plain, len(unified) - len(plain)


def without_escapes(text: str) -> str:
    """Return a text without escape sequences and control characters."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def shows(screen: str, text: str, shown_as: str | None, *, tail_chars: int = 40) -> bool:
    """Tell whether the screen shows a pasted text: its stand-in, or the end of its last line."""
    if shown_as and re.search(shown_as, screen):
        return True
    last = next(line for line in reversed(text.splitlines()) if line.strip()).strip()
    return _squeezed(last[-tail_chars:]) in _squeezed(screen)


def _squeezed(text: str) -> str:
    # A terminal breaks lines where it likes, and draws frames around them.
    return re.sub(r"[\s│┃|]+", "", text)
