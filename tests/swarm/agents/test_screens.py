"""Screen rules on screens of the real programs; a file's name begins with the expected state."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from swarm.agents.adapters import all_tools, tool_named
from swarm.agents.screens import asked_id, read_screen

SCREENS = Path(__file__).parents[2] / "screens"
RECORDED = sorted(SCREENS.glob("*/*.txt"))
TOOLS_WITH_SCREENS = sorted({path.parent.name for path in RECORDED})


def _state_of(tool: str, path: Path) -> str | None:
    seen = read_screen(tool_named(tool), path.read_text(encoding="utf-8"))
    return seen.state if seen else None


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_screen_shows_its_state(path: Path) -> None:
    assert _state_of(path.parent.name, path) == path.stem.partition("-")[0]


@pytest.mark.parametrize("tool", TOOLS_WITH_SCREENS)
def test_no_other_tools_rules_read_all_screens_of_a_tool(tool: str) -> None:
    own = [path for path in RECORDED if path.parent.name == tool]
    expected = [path.stem.partition("-")[0] for path in own]

    for other in sorted(set(all_tools()) - {tool}):
        assert [_state_of(other, path) for path in own] != expected, other


@pytest.mark.parametrize("tool", TOOLS_WITH_SCREENS)
def test_every_tool_with_screens_was_seen_ready_working_and_blocked(tool: str) -> None:
    names = {path.stem.partition("-")[0] for path in RECORDED if path.parent.name == tool}
    assert names == {"ready", "working", "blocked"}


@pytest.mark.parametrize("tool", TOOLS_WITH_SCREENS)
@pytest.mark.parametrize("state", ["ready", "working", "blocked"])
def test_without_the_rules_of_a_state_its_screens_are_not_read(tool: str, state: str) -> None:
    adapter = tool_named(tool)
    rules = tuple(rule for rule in adapter.screen if rule.state != state)
    mutant = replace(adapter, screen=rules, dialog=() if state == "blocked" else adapter.dialog)

    of_state = [path for path in RECORDED if path.match(f"{tool}/{state}-*.txt")]
    seen = [read_screen(mutant, path.read_text(encoding="utf-8")) for path in of_state]
    assert all(each is None or each.state != state for each in seen)


@pytest.mark.parametrize("tool", sorted(set(all_tools()) - {"shell"}))
def test_a_blank_screen_says_nothing(tool: str) -> None:
    assert read_screen(tool_named(tool), "\n  \n\n") is None


def test_an_id_tells_two_questions_of_a_kind_apart_but_not_two_cursors() -> None:
    dialog = next(each for each in tool_named("codex").dialog if each.name == "permission")
    folder = SCREENS / "codex"
    texts = [
        (folder / f"blocked-{name}.txt").read_text(encoding="utf-8")
        for name in ("permission", "permission-2")
    ]
    moved = texts[0].replace("› 1.", "  1.").replace("  2.", "› 2.")
    assert moved != texts[0]

    ids = [asked_id(dialog, text) for text in (*texts, moved, texts[0] + "\n\n")]

    assert ids[0] == ids[2] == ids[3] != ids[1]
    assert [len(each) for each in ids] == [16] * 4


def test_a_dialog_comes_with_its_answers() -> None:
    screen = (SCREENS / "claude" / "blocked-trust.txt").read_text(encoding="utf-8")

    seen = read_screen(tool_named("claude"), screen)

    assert seen is not None and seen.dialog is not None
    assert (seen.rule, seen.line) == ("trust_folder", "❯ 1. Yes, I trust this folder")
    assert {choice.name: choice.keys for choice in seen.dialog.choices} == {
        "yes": ("1",),
        "no": ("2",),
    }
