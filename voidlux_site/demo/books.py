"""`manage.py ledger verify` on the demo's nodes, those that are gone included."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from p2p.protocol.errors import ExternalError
from voidlux_site.demo.client import Json
from voidlux_site.demo.nodes import COMMAND_TIMEOUT_S, NodeProcess


class Verifying:
    """The commands while they run, one a node."""

    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        """Start them all; they read the databases of the nodes' homes."""
        self._commands = {
            node.plan.name: node.begin("ledger", "verify", "--json") for node in nodes
        }

    def findings(self) -> dict[str, Json]:
        """Wait for what they found, with `exit_code`, by the node's name; raises ExternalError."""
        return {name: _finding(name, each) for name, each in self._commands.items()}

    def end(self) -> None:
        """Kill what still runs."""
        for command in self._commands.values():
            if command.poll() is None:
                command.kill()
                command.communicate()


@contextmanager
def verifying(nodes: Sequence[NodeProcess]) -> Iterator[Verifying]:
    """Verify the books of all nodes beside what the block does; nothing runs on after it."""
    commands = Verifying(nodes)
    try:
        yield commands
    finally:
        commands.end()


def _finding(name: str, command: subprocess.Popen[str]) -> Json:
    try:
        told, trouble = command.communicate(timeout=COMMAND_TIMEOUT_S)
        found: Json = json.loads(told)
    except subprocess.TimeoutExpired as error:
        text = f"`ledger verify` of {name} did not end within {COMMAND_TIMEOUT_S:g} s"
        raise ExternalError(text, retryable=False) from error
    except ValueError as error:
        text = (
            f"`ledger verify` of {name} ended with {command.returncode}: {trouble.strip()[-300:]}"
        )
        raise ExternalError(text, retryable=False) from error
    return {**found, "exit_code": command.returncode}
