"""Texts lose what steers a terminal, or are refused for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.protocol.errors import DomainError
from swarm.plain_text import clean_text, require_text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        (" a\r\nb\rc ", "a\nb\nc"),
        ("tab\tkept", "tab\tkept"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[200~paste\x1b[201~", "paste"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1bPunended", ""),
        ("null\x00 bell\x07 c1\x9b31m", "null bell c131m"),
        ("half \ud800 character", "half  character"),
    ],
)
def test_what_steers_a_terminal_is_dropped(text: str, cleaned: str) -> None:
    assert clean_text("note", text, 100) == cleaned


@given(st.text(max_size=200))
def test_nothing_that_was_cleaned_steers_and_cleaning_again_changes_nothing(text: str) -> None:
    cleaned = clean_text("note", text, 1000)
    assert all(c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f") for c in cleaned)
    assert clean_text("note", cleaned, 1000) == cleaned


def test_length_is_named_with_its_limit() -> None:
    with pytest.raises(DomainError, match="note has 101 characters, at most 100") as refusal:
        clean_text("note", "x" * 101, 100)
    assert (refusal.value.code, refusal.value.status) == ("too_long", 422)


def test_what_a_person_wrote_is_kept_whole_or_refused() -> None:
    assert require_text("answer", " first\r\n\tsecond ", 100) == "first\n\tsecond"
    with pytest.raises(DomainError, match=r"U\+001B at 4") as refusal:
        require_text("answer", "yes \x1b[A", 100)
    assert refusal.value.code == "control_character"
