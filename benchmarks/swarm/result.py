"""What a subject prints: its rounds by name in one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def print_rounds(unit: str, rounds: Mapping[str, Sequence[float]]) -> None:
    """Print the measured rounds of each figure; the last line of a subject's output."""
    told = {name: [round(value, 4) for value in values] for name, values in rounds.items()}
    print(json.dumps({"unit": unit, "rounds": told}))


def read_rounds(output: str) -> tuple[str, dict[str, list[float]]]:
    """Return unit and rounds of a subject's output; ValueError or KeyError when there are none."""
    lines = output.strip().splitlines()
    told = json.loads(lines[-1] if lines else "")
    return str(told["unit"]), dict(told["rounds"])
