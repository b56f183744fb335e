from __future__ import annotations

import pytest

from p2p.protocol.errors import DomainError
from swarm.agents.adapters import ToolAdapter, tool_named


def test_shell_is_known() -> None:
    assert tool_named("shell") == ToolAdapter(name="shell", start=("sh", "-i"), deliver="block")


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DomainError) as refused:
        tool_named("x")
    assert refused.value.code == "unknown_tool"
    assert refused.value.status == 422
    assert refused.value.message == "tool 'x' is not known; known: shell"
