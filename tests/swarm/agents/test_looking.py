"""Memory of looks: since when the screen shows a question, and which words on it are new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swarm.agents.adapters import ToolAdapter, load_tool
from swarm.agents.looking import Memory
from tests.support.fake_tool import FakeTool

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOX = "=" * 60 + "\n> \n" + "=" * 60
WORDS = "The allowance is used up, again in 2 hours"
SPINNER = "| Working (ctrl+c to interrupt)"


@pytest.fixture
def tool(tmp_path: Path) -> ToolAdapter:
    fake = FakeTool(tmp_path / "fake")
    fake.install(tmp_path)
    return load_tool(tmp_path / "tools" / "fake.toml")


def test_words_that_stay_on_the_screen_are_old_and_said_again_are_new(tool: ToolAdapter) -> None:
    memory = Memory(first_look_at=NOW)
    screens = [
        BOX,
        f"{WORDS}\n{BOX}",
        f"{WORDS}\n{SPINNER}\n{BOX}",
        f"{WORDS}\nDone.\n{BOX}",
        f"{WORDS}\nDone.\n{WORDS}\n{BOX}",
        f"Done.\n{WORDS}\n{BOX}",
    ]

    seen = []
    for number, screen in enumerate(screens):
        memory.note_screen(tool, screen, NOW + timedelta(seconds=number))
        seen.append((memory.window is not None, memory.said_again, memory.words_are_gone))
        memory.said_again = False

    assert seen == [
        (False, False, True),
        (True, False, False),
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, False, False),
    ]


def test_a_question_is_as_old_as_itself_not_as_its_kind(tool: ToolAdapter) -> None:
    memory = Memory(first_look_at=NOW)
    asked = "Do you want to run this command?\nmake {}\n> 1. Yes\n{}"

    since = []
    for number, screen in enumerate(["test", "test", "clean"]):
        looked_at = NOW + timedelta(seconds=number)
        memory.note_screen(tool, asked.format(screen, "✻✶✳"[number]), looked_at)
        since.append(memory.rule_since)

    assert since == [NOW, NOW, NOW + timedelta(seconds=2)]
