"""What a subject prints: one line of JSON with its figures, counts and versions."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from importlib.metadata import version

from benchmarks.mesh.load import Load


@dataclass(slots=True)
class Result:
    """The figures of one run of one subject, by name, and how they came about.

    `counts` holds for each scenario the deliveries expected and come.
    """

    figures: dict[str, float] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def add_versions(self, *packages: str) -> None:
        """Note the installed versions of packages."""
        self.versions |= {each: version(each) for each in packages}

    def note_open(self, name: str, load: Load) -> None:
        """Note the latencies of an open loop, and its counts."""
        self.counts[f"{name} open"] = load.counts()
        self.figures[f"{name} open p50"] = load.latency_ms(0.50)
        self.figures[f"{name} open p99"] = load.latency_ms(0.99)

    def note_closed(self, name: str, load: Load) -> None:
        """Note the throughput of a closed loop, and its counts."""
        self.counts[f"{name} closed"] = load.counts()
        self.figures[f"{name} closed deliveries"] = load.deliveries_per_s

    def print(self) -> None:
        """Write the line; everything else that a subject prints is ignored."""
        line = json.dumps(
            {"figures": self.figures, "counts": self.counts, "versions": self.versions}
        )
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()


def read(output: str) -> Result:
    """Return the result in the last line of a subject's output; ValueError when there is none."""
    lines = output.strip().splitlines()
    return Result(**json.loads(lines[-1] if lines else ""))
