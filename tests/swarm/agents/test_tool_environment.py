"""Variables that the operator gives a tool: from a private file, refused with file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.local import LocalNode, acting_as, local_node
from p2p.protocol.errors import DomainError
from swarm.agents.adapters import tool_named
from swarm.agents.prompts import require_tool
from swarm.agents.tool_environment import environment_of, own_variables


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    path = tmp_path / "tools" / "claude.env"
    path.parent.mkdir()
    path.touch(mode=0o600)
    with acting_as(LocalNode(tmp_path, node.identity, node.network, node.swarm)):
        yield path


def test_lines_are_taken_as_they_are(file: Path) -> None:
    file.write_text('# the key\n\nANTHROPIC_API_KEY=a=b "c" \nHTTPS_PROXY=\n')

    assert own_variables("claude") == {"ANTHROPIC_API_KEY": 'a=b "c" ', "HTTPS_PROXY": ""}
    assert own_variables("codex") == {}


def test_the_file_wins_over_the_nodes_variables_and_the_adapters(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "of the node")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "passed on")
    monkeypatch.setenv("SECRET_OF_THE_NODE", "stays out")
    file.write_text("ANTHROPIC_API_KEY=of the file\nDISABLE_AUTOUPDATER=0\n")

    env = environment_of(tool_named("claude"))

    assert (env["ANTHROPIC_API_KEY"], env["ANTHROPIC_BASE_URL"]) == ("of the file", "passed on")
    assert env["DISABLE_AUTOUPDATER"] == "0"
    assert "SECRET_OF_THE_NODE" not in env


def test_a_path_of_the_files_is_where_the_program_is_looked_for(file: Path, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file.write_text(f"PATH={tmp_path}:/usr/bin:/bin\n")

    assert require_tool(tool_named("claude")) == str(program)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=1\nexport B=2\n", "line 2 is no NAME=value"),
        ("1A=b\n", "line 1 is no NAME=value"),
        ("A=\0\n", "line 1 is no NAME=value"),
        ("A=" + "x" * 65536, "more than 65536 bytes"),
    ],
)
def test_a_bad_file_is_one_error_without_its_values(file: Path, text: str, why: str) -> None:
    file.write_text(text)

    with pytest.raises(DomainError) as refused:
        own_variables("claude")

    assert (refused.value.code, refused.value.message) == (
        "bad_tool_env",
        f"tools/claude.env: {why}",
    )


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    file.write_text("ANTHROPIC_API_KEY=x\n")
    file.chmod(0o640)

    with pytest.raises(DomainError, match="others may read it \\(mode 640\\): chmod 600 it"):
        environment_of(tool_named("claude"))
