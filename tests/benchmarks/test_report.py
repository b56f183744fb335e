"""What every benchmark writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.report import Figure, figures_in_markdown, write

QUICK = Figure.of("quick", "frames/s", [900.0, 1200.0, 1000.0])
SLOW = Figure.of("slow", "frames/s", [250.0])


def test_a_figure_is_the_median_of_its_rounds_with_their_spread() -> None:
    assert (QUICK.value, QUICK.low, QUICK.high) == (1000.0, 900.0, 1200.0)
    with pytest.raises(ValueError, match="nothing was never measured"):
        Figure.of("nothing", "ms", [])


def test_a_ratio_names_what_it_is_a_ratio_to() -> None:
    against = QUICK.against(SLOW, name="quick, times slow")

    assert (against.name, against.value, against.ratio, against.ratio_to) == (
        "quick, times slow",
        1000.0,
        4.0,
        "slow",
    )
    assert QUICK.against(Figure.of("none", "frames/s", [0.0])).ratio is None


def test_the_page_and_the_json_are_written(tmp_path: Path) -> None:
    write("area", page="# Page\n", figures=[QUICK.against(SLOW), SLOW], folder=tmp_path)

    assert (tmp_path / "area.md").read_text() == "# Page\n"
    assert json.loads((tmp_path / "area.json").read_text()) == [
        {"name": "quick", "value": 1000.0, "unit": "frames/s", "ratio": 4.0, "ratio_to": "slow"},
        {"name": "slow", "value": 250.0, "unit": "frames/s", "ratio": None, "ratio_to": ""},
    ]


def test_the_table_shows_value_spread_and_ratio() -> None:
    assert figures_in_markdown([QUICK.against(SLOW)]).splitlines()[2] == (
        "| quick | 1,000 | frames/s | 900 - 1,200 | 4 | slow |"
    )
