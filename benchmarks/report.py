"""What every benchmark writes: a table, a page in docs/benchmarks/ and its figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
HEADINGS = ("what", "value", "unit", "spread", "ratio", "to")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value: the median of its rounds; `ratio` is value through that of `ratio_to`.

    `low` and `high` are the lowest and the highest round.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    ratio: float | None = None
    ratio_to: str = ""

    @classmethod
    def of(cls, name: str, unit: str, rounds: Sequence[float]) -> Figure:
        """Return the figure of several rounds; ValueError when there is none."""
        if not rounds:
            raise ValueError(f"{name} was never measured")
        return cls(name, statistics.median(rounds), unit, min(rounds), max(rounds))

    def against(self, other: Figure, *, name: str = "") -> Figure:
        """Return this figure with its ratio to another one."""
        ratio = self.value / other.value if other.value else None
        return Figure(
            name or self.name, self.value, self.unit, self.low, self.high, ratio, other.name
        )

    def cells(self) -> tuple[str, ...]:
        """Return what stands in its row of the table, by HEADINGS."""
        spread = "" if self.low == self.high else f"{_text(self.low)} - {_text(self.high)}"
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        return (self.name, _text(self.value), self.unit, spread, ratio, self.ratio_to)


def print_table(title: str, figures: Iterable[Figure]) -> None:
    """Print figures as a table on the terminal."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number in (1, 3, 4) else "left")
    for each in figures:
        table.add_row(*each.cells())
    console = Console()
    # Where nobody looks at a screen, no row is to be broken.
    Console(width=console.width if console.is_terminal else 160).print(table)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def figures_in_markdown(figures: Iterable[Figure]) -> str:
    """Return figures as a table in Markdown."""
    return markdown_table(HEADINGS, [each.cells() for each in figures])


def machine() -> dict[str, str]:
    """Return what the figures depend on beside the code: processors, system, Python."""
    return {
        "processors": f"{os.cpu_count()} x {_processor()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def heading(title: str, *, command: str, facts: Mapping[str, str]) -> str:
    """Return the beginning of a page: the command that writes it, machine and versions."""
    rows = [(name, value) for name, value in facts.items()]
    return f"# {title}\n\nWritten by `{command}`; do not edit by hand.\n\n" + markdown_table(
        ("with", "version"), rows
    )


def write(area: str, *, page: str, figures: Iterable[Figure], folder: Path = DOCS) -> None:
    """Write docs/benchmarks/<area>.md and .json (a list of name, value, unit, ratio, ratio_to)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{area}.md").write_text(page)
    rows = [_row(each) for each in figures]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    (folder / f"{area}.json").write_text(f"[\n{lines}\n]\n")


def _row(figure: Figure) -> dict[str, object]:
    fields = asdict(figure)
    wanted = {name: fields[name] for name in ("name", "value", "unit", "ratio", "ratio_to")}
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in wanted.items()
    }


def _text(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _processor() -> str:
    """Return the processor's name as Linux tells it, else what Python knows."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
