"""When an exhausted usage window ends, and what the tools say of it on their screens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from swarm.agents.adapters import tool_named
from swarm.agents.screens import read_window
from swarm.agents.windows import window_end

SCREENS = Path(__file__).parents[2] / "screens"
NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(day: int, hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ({"clock": "3pm", "zone": "Europe/Berlin"}, utc(22, 14, 1)),
        ({"clock": "3pm", "zone": "UTC"}, utc(22, 15, 1)),
        ({"clock": "14:30"}, utc(22, 14, 31)),
        ({"clock": "3:20 A.M.", "zone": "Asia/Kolkata"}, utc(22, 21, 51)),
        ({"clock": "12am", "zone": "America/Los_Angeles"}, utc(23, 8, 1)),
        ({"clock": "12:10pm"}, utc(23, 12, 11)),
        ({"clock": "10:57 PM", "zone": "GMT-3"}, utc(23, 1, 58)),
        ({"clock": "3pm", "zone": "Mars/Olympus"}, utc(22, 15, 1)),
        ({"clock": "3pm", "zone": "../../etc/passwd"}, utc(22, 15, 1)),
        ({"duration": "2 hours 13 minutes"}, utc(22, 14, 44)),
        ({"duration": "5 days 22 hours\n 11 minutes"}, utc(28, 10, 42)),
        ({"duration": "2h 9m "}, utc(22, 14, 40)),
        ({"duration": "90s"}, utc(22, 12, 31, 30)),
        ({"epoch": "1795359600"}, utc(22, 15, 0)),
        ({"date": "Nov 25th, 2026 10:27 PM"}, utc(25, 22, 28)),
        ({"date": "Nov 25, 6pm", "zone": "UTC"}, utc(25, 18, 1)),
        ({"date": "2026-11-23T04:05:06Z"}, utc(23, 4, 5, 6)),
        ({"clock": None, "date": None, "duration": "1 hour", "zone": None}, utc(22, 13, 31)),
    ],
)
def test_the_end_is_the_next_such_time(said: dict[str, str | None], end: datetime) -> None:
    assert window_end(said, NOW, UTC) == end


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"zone": "UTC"},
        {"clock": "25:00"},
        {"clock": "13pm"},
        {"clock": "soon"},
        {"duration": "a while"},
        {"duration": "9 days"},
        {"duration": "99999999999999999999 days"},
        {"epoch": "1700000000"},
        {"epoch": "9" * 40},
        {"date": "Jul 5th, 2027 8:19 PM"},
        {"date": "Foo 5th, 2026 8:19 PM"},
        {"date": "Feb 30, 2027 8pm"},
        {"clock": "12:20pm"},
    ],
    ids=str,
)
def test_no_usable_time_is_none(said: dict[str, str | None]) -> None:
    assert window_end(said, NOW, UTC) is None


@pytest.mark.parametrize("days", [7, 8, 9])
def test_a_time_more_than_eight_days_ahead_is_refused(days: int) -> None:
    end = window_end({"duration": f"{days * 24} hours 0 seconds"}, NOW, UTC)

    assert end == (NOW + timedelta(days=days) if days < 9 else None)


@pytest.mark.parametrize(
    ("now", "clock", "end"),
    [
        (utc(22, 22, 59), "12:30am", utc(22, 23, 31)),
        (
            datetime(2026, 12, 31, 22, 50, tzinfo=UTC),
            "0:10",
            datetime(2026, 12, 31, 23, 11, tzinfo=UTC),
        ),
        # The clocks of Berlin go back on the 25th at 01:00 UTC, and forward on March 29th.
        (
            datetime(2026, 10, 24, 23, 50, tzinfo=UTC),
            "3:30am",
            datetime(2026, 10, 25, 2, 31, tzinfo=UTC),
        ),
        (
            datetime(2026, 3, 28, 23, 50, tzinfo=UTC),
            "3:30am",
            datetime(2026, 3, 29, 1, 31, tzinfo=UTC),
        ),
    ],
)
def test_midnight_and_the_change_of_clocks(now: datetime, clock: str, end: datetime) -> None:
    assert window_end({"clock": clock}, now, BERLIN) == end


def test_a_month_that_is_over_is_of_the_next_year() -> None:
    now = datetime(2026, 12, 30, 12, 0, tzinfo=UTC)

    end = window_end({"date": "Jan 2, 3pm"}, now, UTC)

    assert end == datetime(2027, 1, 2, 15, 1, tzinfo=UTC)


# What each recorded screen says: (rule, end); all others show no window.
AT = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
RECORDED = {
    "claude/blocked-usage-window": ("usage_limit", datetime(2026, 11, 22, 20, 1, tzinfo=UTC)),
    "claude/ready-weekly-limit": ("usage_limit", datetime(2026, 11, 25, 18, 1, tzinfo=UTC)),
    "codex/ready-usage-window": ("usage_limit", datetime(2026, 11, 25, 22, 28, tzinfo=UTC)),
    "opencode/working-usage-window": ("retrying", datetime(2026, 11, 22, 20, 40, tzinfo=UTC)),
}
FILES = sorted(SCREENS.glob("*/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_screen_shows_its_window_or_none(path: Path) -> None:
    tool = path.parent.name

    seen = read_window(tool_named(tool), path.read_text(encoding="utf-8"))

    found = (seen.rule.name, window_end(seen.said, AT, UTC)) if seen is not None else None
    assert found == RECORDED.get(f"{tool}/{path.stem}")


def test_the_dialog_of_claudes_window_is_answered_by_waiting() -> None:
    text = (SCREENS / "claude" / "blocked-usage-window.txt").read_text(encoding="utf-8")

    seen = read_window(tool_named("claude"), text)

    assert seen is not None
    assert seen.shown == "⎿ You've hit your session limit · resets 8pm (UTC)"
    assert seen.rule.answers == {"wait_or_upgrade": "wait"}


# Texts that were not seen here: as users of the programs report them.
@pytest.mark.parametrize(
    ("tool", "text", "rule", "said"),
    [
        (
            "claude",
            "  ⎿  Claude usage limit reached. Your limit will reset at 3pm (Europe/Berlin).",
            "usage_limit_1",
            {"clock": "3pm", "zone": "Europe/Berlin"},
        ),
        ("claude", "  ⎿  5-hour limit reached ∙ resets 3pm", "usage_limit_1", {"clock": "3pm"}),
        (
            "claude",
            "  ⎿ Claude AI usage limit reached|1749924000",
            "usage_limit_0",
            {"epoch": "1749924000"},
        ),
        (
            "codex",
            "■ You've hit your usage limit. Upgrade to Pro (https://openai.com/chatgpt/pricing) or"
            " try again in 5 days 22 hours 11\nminutes.",
            "usage_limit",
            {"duration": "5 days 22 hours 11\nminutes"},
        ),
        (
            "codex",
            "■ You’ve hit your usage limit. Try again at 3:04 PM.",
            "usage_limit",
            {"clock": "3:04 PM"},
        ),
        ("codex", "■ You've hit your usage limit.", "usage_limit", {}),
        (
            "gemini",
            "Usage limit reached for gemini-3-flash-preview. Access resets at 10:57 PM GMT-3.",
            "quota",
            {"clock": "10:57 PM", "zone": "GMT-3"},
        ),
        (
            "gemini",
            "✕ [API Error: You have exhausted your daily quota on this model.]",
            "daily_quota",
            {},
        ),
        (
            "aider",
            "litellm.RateLimitError: litellm.RateLimitError: VertexAIException - {\n> ",
            "rate_limit",
            {},
        ),
    ],
)
def test_a_reported_text_is_read(tool: str, text: str, rule: str, said: dict[str, str]) -> None:
    seen = read_window(tool_named(tool), text)

    assert seen is not None and seen.rule.name == rule
    assert {name: words for name, words in seen.said.items() if words} == said


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("claude", "❯ Why does it say: You've hit your session limit · resets 8pm (UTC)?"),
        ("claude", "  ⎿  You've hit your limit · resets 8pm (UTC)\n✻ Baking… (esc to interrupt)"),
        ("opencode", "⬝⬝■■ Provider is overloaded [retrying in 12s attempt #2]  esc interrupt"),
        ("aider", "litellm.RateLimitError: slow down\nRetrying in 0.4 seconds..."),
    ],
)
def test_what_only_looks_like_a_window_is_none(tool: str, text: str) -> None:
    assert read_window(tool_named(tool), text) is None


def test_a_window_that_counts_down_stays_the_same_one() -> None:
    lines = [f"⬝■ No quota [retrying in {left} attempt #1]" for left in ("2h 9m ", "2h 8m ")]

    keys = {seen.key for line in lines if (seen := read_window(tool_named("opencode"), line))}

    assert keys == {"No quota [retrying in ...attempt"}
