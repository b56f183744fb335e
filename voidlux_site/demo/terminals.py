"""The terminals of a demo node's agents: a tmux server that outlives its node on purpose."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from swarm.clean_env import clean_environment
from voidlux_site.node.processes import kill_tree

TMUX_WITHIN_S = 30.0


def end_terminals(node_id: str, tmux_dir: Path) -> None:
    """End the terminals: after the demo there is nobody to come back."""
    _tmux(node_id, tmux_dir, "kill-server")


def kill_terminals(node_id: str, tmux_dir: Path) -> None:
    """Kill the terminals and all that runs in them, as a power cut would."""
    told = _tmux(node_id, tmux_dir, "display-message", "-p", "#{pid}").strip()
    if told.isdecimal():
        kill_tree(int(told))


def _tmux(node_id: str, tmux_dir: Path, *command: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["tmux", "-L", f"voidlux-{node_id[:12]}", "-f", "/dev/null", *command],
            env=clean_environment({"TMUX_TMPDIR": str(tmux_dir)}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TMUX_WITHIN_S,
            check=False,
        )
        return done.stdout
    return ""
