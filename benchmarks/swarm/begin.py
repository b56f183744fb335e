"""From the POST of a goal to its agent's process, beside bare git and tmux, on a real node.

    python -m benchmarks.swarm.begin [files] [rounds]

Bare is `git worktree add` and `tmux send-keys` of the same command, in a clone and a session that
stand ready. Both ways end when the command says what time it is. `files` is how many files the
repository has: all of them are checked out, by either way.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.swarm.result import print_rounds
from swarm.clean_env import clean_environment
from swarm.git.command import run_git
from swarm.git.merging import identity_environment

if TYPE_CHECKING:
    from voidlux_site.demo.nodes import NodeProcess

AUTHOR = identity_environment("Bench <bench@example.invalid>")
FILE_BYTES = 4_000
WITHIN_S = 60.0
LOOK_EVERY_S = 0.005
ENDED = ("completed", "failed", "cancelled")
# Parts of the way, by the times that the node itself keeps.
STAGES = (
    "POST and planning job",
    "planned to claimed",
    "claimed to typed",
    "typed to process",
)
BARE = "bare git worktree add and tmux send-keys"
READY = "ready to process"
POSTED = "POST of its goal to process"


def main(files: int, rounds: int) -> None:
    """Measure and print the rounds of both ways, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="vlb-") as name:
        folder = Path(name).resolve()
        remote = make_remote(folder, files)
        node = start_node(folder)
        bare = Bare(folder, remote)
        try:
            wait(lambda: node.is_ready() and node.api.get("/status")["agents"]["ready"] == 1)
            measured = measure(node, bare, remote, rounds)
        finally:
            bare.end()
            node.ask_to_stop()
            node.finish(time.monotonic() + WITHIN_S)
    print_rounds("ms", {f"{files} files: {what}": times for what, times in measured.items()})


def start_node(folder: Path) -> NodeProcess:
    """Start a node with one agent, as `manage.py runnode` does."""
    os.environ.update(DJANGO_SETTINGS_MODULE="voidlux_site.settings", VOIDLUX_HOME=str(folder))
    import django

    django.setup()
    from voidlux_site.demo.nodes import NodePlan, NodeProcess, free_ports

    ports = free_ports(2)
    plan = NodePlan(name="node", part="node", swarm="bench", agents=1)
    node = NodeProcess(plan, folder, (ports[0], ports[1]))
    node.start(seeds="", allow_nodes="", secret="the secret of a benchmark")
    return node


def measure(node: NodeProcess, bare: Bare, remote: Path, rounds: int) -> dict[str, list[float]]:
    """Go both ways in turn; the first round of each, with its cold caches, does not count."""
    measured: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        times = {BARE: bare.go(number), **submit(node, remote, number)}
        for what, taken in times.items() if number else ():
            measured.setdefault(what, []).append(taken)
    return measured


def submit(node: NodeProcess, remote: Path, number: int) -> dict[str, float]:
    """Submit a goal of one subtask, wait for its end, and return the way and its stages."""
    said = remote.parent / f"ours-{number}"
    text = f"# Goal {number}\n\n1. [ ] Say when\n\n   ```sh\n   {saying(said)}\n"
    text += f"   echo {number} > said-{number}\n   ```\n"
    began_s = time.time()
    goal = node.api.post(
        "/tasks", {"description": text, "repository": str(remote), "test_command": "true"}
    )
    # By the file, as the bare way is watched: questions by HTTP would slow the node down.
    wait(lambda: is_said(said))
    wait(lambda: node.api.get(f"/tasks/{goal['id']}")["status"] in ENDED)
    began_process_s = float(said.read_text())
    [task] = node.api.items(f"/tasks/{goal['id']}/subtasks")
    [attempt] = [each for each in node.api.items("/attempts") if each["task_id"] == task["id"]]
    at = [
        began_s,
        seconds(task["created_at"]),
        seconds(task["claimed_at"]),
        seconds(attempt["typed_at"]),
        began_process_s,
    ]
    # What the node cleans up now would slow down whoever is measured next.
    wait(lambda: node.api.get("/status")["agents"]["ready"] == 1 and not has_worktrees(node.home))
    stages = zip(STAGES, at, at[1:], strict=False)
    return {
        READY: (began_process_s - at[1]) * 1000,
        POSTED: (began_process_s - began_s) * 1000,
        **{f"of it {stage}": (end - start) * 1000 for stage, start, end in stages},
    }


def has_worktrees(home: Path) -> bool:
    """Tell whether files of any worktree are left in a home."""
    return any(path.is_file() for path in (home / "worktrees").rglob("*"))


class Bare:
    """A clone and a terminal that stand ready, without any node."""

    def __init__(self, folder: Path, remote: Path) -> None:
        """Clone the remote and start a shell in tmux."""
        self._folder = folder / "bare"
        self._folder.mkdir()
        self._clone = self._folder / "clone.git"
        run_git(("clone", "-q", "--bare", str(remote), str(self._clone)))
        self._tmux("new-session", "-d", "-s", "bare", "sh", "-i")

    def go(self, number: int) -> float:
        """Make a worktree and type the command; returns milliseconds until it said its time."""
        said, worktree = self._folder / f"bare-{number}", self._folder / f"worktree-{number}"
        began_s = time.time()
        arguments = ("worktree", "add", "-q", "-b", f"task/{number}", str(worktree), "main")
        run_git(arguments, cwd=self._clone)
        self._tmux("send-keys", "-t", "bare", f"cd {worktree} && {saying(said)}", "Enter")
        wait(lambda: is_said(said))
        return (float(said.read_text()) - began_s) * 1000

    def end(self) -> None:
        """End the terminal."""
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> None:
        env = clean_environment({"TMUX_TMPDIR": str(self._folder)})
        command = ["tmux", "-L", "bare", "-f", "/dev/null", *arguments]
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=WITHIN_S)


def saying(path: Path) -> str:
    """Return the command whose first act is to write the time (seconds)."""
    return f"date +%s.%N > {path}"


def is_said(path: Path) -> bool:
    """Tell whether a command has written its time."""
    return path.exists() and path.read_text().endswith("\n")


def make_remote(folder: Path, files: int) -> Path:
    """Make a bare repository with so many files of 4,000 bytes on `main`."""
    work, remote = folder / "work", folder / "remote.git"
    run_git(("init", "-q", "--initial-branch=main", str(work)))
    for number in range(files):
        path = work / f"package{number % 100}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n".ljust(FILE_BYTES, "x"))
    run_git(("add", "-A"), cwd=work)
    run_git(("commit", "-q", "-m", "Begin"), cwd=work, env_extra=AUTHOR)
    # In one pack, as a fetch brings it: neither way has to read loose objects.
    run_git(("repack", "-adq"), cwd=work)
    run_git(("clone", "-q", "--bare", str(work), str(remote)))
    return remote


def wait(condition: Callable[[], Any]) -> None:
    """Return when the condition holds; TimeoutError after a minute."""
    ends_at = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {WITHIN_S:g} s")
        time.sleep(LOOK_EVERY_S)


def seconds(text: str) -> float:
    """Return an RFC 3339 time as Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(numbers[0] if numbers else 20, numbers[1] if len(numbers) > 1 else 10)
