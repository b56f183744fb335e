"""`submit` and `status` against a real node, as they are typed into a shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voidlux_site.demo.nodes import NodePlan, NodeProcess, Nodes
from voidlux_site.demo.repository import Remote, create_remote

PROJECT_DIR = Path(__file__).resolve().parents[2]
OUTLINE = """# Two files

- [ ] First
  ```sh
  echo one > one.txt
  ```
- [ ] Second (after: 1)
  ```sh
  grep one one.txt && echo two > two.txt
  ```
"""

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vl-") as made:
        yield Path(made).resolve()


@pytest.fixture(scope="module")
def remote(folder: Path) -> Remote:
    return create_remote(folder)


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[NodeProcess]:
    nodes = Nodes([NodePlan(name="solo", part="alone", swarm="solo", agents=1)], folder)
    nodes.start()
    try:
        wait_until_ready(nodes.buyer)
        yield nodes.buyer
    finally:
        assert nodes.stop() == []


def wait_until_ready(node: NodeProcess) -> None:
    deadline = time.monotonic() + 60
    while not node.is_ready():
        assert time.monotonic() < deadline, node.log_tail()
        time.sleep(0.1)


def manage(node: NodeProcess, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    names = {"VOIDLUX_HOME": str(node.home), "VOIDLUX_HTTP_PORT": str(node.http_port)}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIR,
        env={**os.environ, **names},
        input=given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_submit_follows_a_goal_to_its_end(node: NodeProcess, remote: Remote) -> None:
    done = manage(node, "submit", "-", "--repository", str(remote.path), given=OUTLINE)

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "is submitted: Two files" in lines[0]
    assert " completed: integrate/" in lines[-1]
    assert any("2 Second" in line and "completed" in line for line in lines)
    assert "\x1b" not in done.stdout


def test_submit_prints_json_and_keeps_progress_apart(node: NodeProcess, remote: Remote) -> None:
    options = ("--repository", str(remote.path), "--test-command", "test -f two.txt", "--json")
    done = manage(node, "submit", "-", *options, given=OUTLINE)

    goal = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (goal["status"], [task["status"] for task in goal["subtasks"]]) == (
        "completed",
        ["completed", "completed"],
    )
    assert "2 Second" in done.stderr


def test_submit_ends_with_1_when_the_goal_fails(node: NodeProcess, remote: Remote) -> None:
    options = ("--repository", str(remote.path), "--test-command", "test -f three.txt")
    outline = OUTLINE.replace("(after: 1)", "").replace("grep one one.txt && ", "")

    done = manage(node, "submit", "-", *options, "--base-branch", "none", given=outline)

    assert done.returncode == 1
    assert "failed: " in done.stdout.splitlines()[-1]
    assert "has no branch 'none'" in done.stdout.splitlines()[-1]


def test_submit_without_waiting_returns_at_once(node: NodeProcess, remote: Remote) -> None:
    options = ("--repository", str(remote.path), "--no-wait", "--json")
    done = manage(node, "submit", "-", *options, given=OUTLINE)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "planning"


def test_a_bad_outline_is_one_line(node: NodeProcess, remote: Remote) -> None:
    done = manage(node, "submit", "-", "--repository", str(remote.path), given="- [x] Done")

    assert done.returncode == 1
    assert done.stdout == ""
    assert '"Done" is already checked' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_one_line(node: NodeProcess) -> None:
    done = manage(node, "submit", "/missing.md", "--repository", "/anywhere")

    assert done.returncode == 1
    assert "/missing.md cannot be read" in done.stderr


def test_status_shows_the_node_once_in_a_pipe(node: NodeProcess) -> None:
    done = manage(node, "status")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"solo {node.node_id[:8]}  emperor in term 1 on demo  0 peers  ")
    assert "1000 VOID (0 held)" in done.stdout
    assert "Two files" in done.stdout
    assert "\x1b" not in done.stdout


def test_status_as_json(node: NodeProcess) -> None:
    state = json.loads(manage(node, "status", "--json").stdout)

    assert state["node"]["node_id"] == node.node_id
    assert sorted(state) == ["agents", "goals", "node", "offerings", "peers", "tributes"]
    assert [agent["tool"] for agent in state["agents"]] == ["shell"]


def test_without_a_node_one_line_says_how_to_start_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "status"],
        cwd=PROJECT_DIR,
        env={**os.environ, "VOIDLUX_HOME": str(tmp_path), "VOIDLUX_HTTP_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "no node answers at http://127.0.0.1:1: start it with `manage.py runnode`" in done.stderr
    assert "Traceback" not in done.stderr
