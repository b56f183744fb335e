"""What ends a demo before its time."""

from __future__ import annotations

from p2p.protocol.errors import ExternalError


class NodeDied(ExternalError):
    """A process of the demo ended by itself; the message carries the end of its log."""

    def __init__(self, name: str, code: int, tail: str) -> None:
        """Take the node's name, its exit code and the last lines of its log."""
        super().__init__(f"node {name} ended with {code}; its log ends:\n{tail}", retryable=False)
