"""The end of a tmux server with all that runs in it, which no node ever wants."""

from __future__ import annotations

import subprocess

from swarm.agents.tmux import TmuxServer


def end_terminals(server: TmuxServer) -> None:
    """End every session and the server; a server that does not run is fine."""
    command = ["tmux", "-L", server.socket_name, "kill-server"]
    subprocess.run(command, capture_output=True, timeout=10, check=False)
