"""What tests of the swarm share: the commands of git that were run."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.git import command


@pytest.fixture
def git_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first two words of every command of git from now on, as it is started."""
    commands: list[str] = []
    start = command._start

    def noting(args: Any, *rest: Any, **named: Any) -> Any:
        commands.append(" ".join(args[:2]))
        return start(args, *rest, **named)

    monkeypatch.setattr(command, "_start", noting)
    return commands
