"""Tools as data: ours are valid, a bad file of the operator's is one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.local import LocalNode, acting_as, local_node
from p2p.protocol.errors import DomainError
from swarm.agents.adapters import all_tools, load_tool, tool_named

MINE = """name = "mine"
start = ["mine"]
deliver = "prompt"
[[screen]]
name = "prompt"
state = "ready"
match = '>'
"""


def window(*lines: str) -> str:
    """Return a rule for usage windows before the first rule for screens."""
    return "\n".join(["[[usage_window]]", *lines, "", "[[screen]]"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    (tmp_path / "tools").mkdir()
    with acting_as(LocalNode(tmp_path, node.identity, node.network, node.swarm)):
        yield tmp_path


def test_the_tools_that_come_along() -> None:
    assert sorted(all_tools()) == ["aider", "claude", "codex", "gemini", "opencode", "shell"]


def test_shell_runs_blocks() -> None:
    tool = tool_named("shell")
    assert (tool.start, tool.deliver, tool.screen) == (("sh", "-i"), "block", ())


def test_the_model_is_an_argument_only_where_one_is_asked_for() -> None:
    codex = tool_named("codex")
    assert codex.command("") == list(codex.start)
    assert codex.command("o3")[-2:] == ["--model", "o3"]


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DomainError) as refused:
        tool_named("x")
    assert (refused.value.code, refused.value.status) == ("unknown_tool", 422)
    assert refused.value.message == (
        "tool 'x' is not known; known: aider, claude, codex, gemini, opencode, shell"
    )


def test_the_operators_file_adds_a_tool_and_replaces_one_of_ours(home: Path) -> None:
    (home / "tools" / "mine.toml").write_text(MINE)
    own_shell = 'name = "shell"\nstart = ["dash"]\ndeliver = "block"\n'
    (home / "tools" / "shell.toml").write_text(own_shell)

    assert tool_named("mine").start == ("mine",)
    assert tool_named("shell").start == ("dash",)


def test_a_changed_file_counts_at_once(home: Path) -> None:
    path = home / "tools" / "mine.toml"
    path.write_text(MINE)
    assert tool_named("mine").start == ("mine",)
    path.write_text(MINE.replace('["mine"]', '["other"]'))

    assert tool_named("mine").start == ("other",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("'>'", "'('"),
            "screen[0].match: missing ), unterminated subpattern at position 0; "
            "a regular expression is allowed",
        ),
        (
            ('"ready"', '"idle"'),
            "screen[0].state: Invalid enum value 'idle'; 'starting', 'ready', "
            "'working' and 'blocked' are allowed",
        ),
        (
            ('deliver = "prompt"', 'deliver = "email"'),
            "deliver: Invalid enum value 'email'; 'block' and 'prompt' are allowed",
        ),
        (('start = ["mine"]', 'begin = ["mine"]'), "Object contains unknown field `begin`"),
        (('start = ["mine"]', "start = []"), "start: Expected `array` of length >= 1"),
        (
            ('name = "mine"', 'name = "yours"'),
            "name: is 'yours', the file's own name 'mine' is allowed",
        ),
        (
            ('"ready"', '"working"'),
            "screen: a rule with state 'ready' is needed, or nothing is ever typed",
        ),
        (
            ("[[screen]]", window("name = 'w'", "match = '(?P<hour>x)'")),
            "usage_window[0].match: group 'hour' is unknown; "
            "clock, date, duration, epoch, zone are allowed",
        ),
        (
            ("[[screen]]", window("name = 'w'", "match = '('")),
            "usage_window[0].match: missing ), unterminated subpattern at position 0; "
            "a regular expression is allowed",
        ),
        (
            ("[[screen]]", window("name = 'w'", "match = 'x'", "answers = { a = 'b' }")),
            "usage_window[0].answers: no dialog 'a' has a choice 'b'",
        ),
        (
            ("[[screen]]", window("name = 'prompt'", "match = 'x'")),
            "usage_window[0].name: 'prompt' is the name of another rule too",
        ),
        (('name = "mine"', "name ="), "Invalid value (at line 1, column 7)"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_bad_file_is_one_error_with_file_key_and_reason(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(*change))

    with pytest.raises(DomainError) as refused:
        load_tool(path)

    assert (refused.value.code, refused.value.message) == (
        "bad_tool",
        f"tools/mine.toml: {message}",
    )
