"""What the played model does, whatever the protocol: one call after the other, then a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FAREWELL = "The task is done."
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_TASK = re.compile(r'task_id "([0-9a-f]{32})"')
_FOLDER = re.compile(r"^(/\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: of a function with JSON arguments."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the model has been sent: all text, the tools it may call, and the results so far."""

    text: str
    tools: Sequence[str]
    results: Sequence[str]

    @property
    def task_id(self) -> str:
        """The id of the task, as the prompt names it."""
        return _found(_TASK, self.text)

    @property
    def folder(self) -> str:
        """The folder that the first call has printed."""
        return _found(_FOLDER, self.results[0])

    @property
    def commit(self) -> str:
        """The last commit that any call has printed."""
        return [sha for result in self.results for sha in _COMMIT.findall(result)][-1]


Step = Callable[[Conversation], Call]


def next_call(script: Sequence[Step], conversation: Conversation) -> Call | None:
    """Return the call after those whose results are there; None when the script is over."""
    done = len(conversation.results)
    if done >= len(script):
        return None
    call = script[done](conversation)
    assert call.tool in conversation.tools, f"no {call.tool} among {sorted(conversation.tools)}"
    return call


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    assert found is not None, f"nothing like {pattern.pattern} in {text[-2000:]!r}"
    return found[1]
