"""Which subjects run in one round, with which environment, and what their figures mean."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = {
    "deliveries": "deliveries/s",
    "verifications": "verifications/s",
    "p50": "ms",
    "p99": "ms",
    "time": "ms",
    "copies": "copies/delivery",
    "wire bytes": "bytes/delivery",
    "bytes": "bytes",
    "memory": "KiB/connection",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One process of a round: a module of `subjects` and its arguments.

    `package` is the package of the second environment that it needs, empty for VoidLux's own.
    """

    subject: str
    arguments: tuple[str, ...] = ()
    package: str = ""
    once: bool = False  # what varies little, or no goal is about, is measured in one round only

    @property
    def label(self) -> str:
        """What the terminal says while it runs."""
        return " ".join((self.subject, *self.arguments))


RUNS = (
    Run("ed25519", ("1",)),
    Run("ed25519", ("2",)),
    Run("raw_frames", ("bytes",), once=True),
    Run("raw_frames", ("msgspec",)),
    Run("voidlux_mesh", ("unsigned", "2", "plain")),
    Run("voidlux_mesh", ("unsigned", "2", "tls"), once=True),
    Run("voidlux_mesh", ("signed", "2", "tls")),
    Run("voidlux_mesh", ("signed", "8", "tls")),
    Run("voidlux_mesh", ("signed", "8", "plain")),
    Run("pyipv8_flood", ("8",), package="pyipv8"),
    Run("libp2p_gossip", ("8",), package="libp2p"),
    Run("nats_fanout", ("8",), package="nats-py"),
    Run("voidlux_mesh", ("signed", "16", "tls"), once=True),
    Run("voidlux_mesh", ("signed", "21", "tls")),
    Run("voidlux_memory", ("tls",), once=True),
    Run("voidlux_memory", ("plain",), once=True),
    Run("voidlux_sync", once=True),
)


def unit_of(name: str) -> str:
    """Return the unit of a figure, which the end of its name tells; KeyError for a strange name."""
    words = name.split()
    two = " ".join(words[-2:])
    return UNITS[two] if two in UNITS else UNITS[words[-1]]
