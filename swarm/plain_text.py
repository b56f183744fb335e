"""Texts of agents and operators: bounded, and without anything that steers a terminal."""

from __future__ import annotations

import re

from p2p.protocol.errors import DomainError

_LINE_ENDS = re.compile(r"\r\n?")
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, bracketed paste
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|\Z)"  # OSC and its kin, up to their end
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def clean_text(name: str, text: str, chars_max: int) -> str:
    """Return an agent's text without terminal sequences; DomainError where it is too long.

    Agents quote the output of programs: what steers a terminal is dropped, not refused.
    """
    cleaned = _CONTROL.sub("", _SEQUENCES.sub("", _LINE_ENDS.sub("\n", text))).strip()
    _require_length(name, cleaned, chars_max)
    return cleaned


def require_text(name: str, text: str, chars_max: int) -> str:
    """Return an operator's text, its line ends made uniform; DomainError names what is wrong.

    Nothing is dropped from it: what a person wrote reaches the agent as it is or not at all.
    """
    uniform = _LINE_ENDS.sub("\n", text).strip()
    if match := _CONTROL.search(uniform):
        raise DomainError(
            "control_character",
            f"{name} holds the control character U+{ord(match[0]):04X} at {match.start()}",
            status=422,
        )
    _require_length(name, uniform, chars_max)
    if not uniform:
        raise DomainError("empty", f"{name} is empty", status=422)
    return uniform


def _require_length(name: str, text: str, chars_max: int) -> None:
    if len(text) > chars_max:
        raise DomainError(
            "too_long", f"{name} has {len(text)} characters, at most {chars_max}", status=422
        )
