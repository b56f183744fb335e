"""The review command: what it gets, and each way in which it is not believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.review.command import NoVerdict, Verdict, ask_command
from tests.support.waiting import is_alive

Ask = Callable[..., Verdict]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask a command for a verdict."""

    def call(command: str, question: Any = None, time_limit_s: float = 20) -> Verdict:
        folder = tmp_path / "review"
        try:
            return ask_command(command, question or {}, folder=folder, time_limit_s=time_limit_s)
        finally:
            assert not folder.exists()

    return call


def say(answer: Any) -> str:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return f"cat <<'END'\n{text}\nEND\n"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"verdict": "accept"}, Verdict(True, "")),
        ({"verdict": "accept", "reasons": "fine"}, Verdict(True, "fine")),
        ({"verdict": "reject", "reasons": "r" * 6_000}, Verdict(False, "r" * 6_000)),
    ],
)
def test_verdicts(ask: Ask, answer: Any, verdict: Verdict) -> None:
    assert ask(say(answer)) == verdict


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (say({"verdict": "accept"}) + "exit 3", "it ended with 3"),
        (say({"verdict": "accept"}) + "echo lost >&2; exit 1", "it ended with 1: lost"),
        (say({"verdict": "accept"}) + "kill -9 $$", "it ended with -9"),
        ("no-such-program", "it ended with 127"),
        ("true", "it printed no JSON object"),
        (say("accept"), "it printed no JSON object"),
        (say('{"verdict": "accept"} {}'), "it printed no JSON object"),
        (say('{"verdict": "reject", "verdict": "accept"}'), "a name is there twice"),
        (say("[" * 60_000), "it printed no JSON object"),
        ("printf '\\377'", "it printed no JSON object"),
        (say(["accept"]), "it printed something else"),
        (say({"reasons": "fine"}), "it printed something else"),
        (say({"verdict": "accept", "sure": True}), "it printed something else"),
        (say({"verdict": "maybe"}), "its verdict is 'maybe', neither"),
        (say({"verdict": True}), "its verdict is 'True', neither"),
        (say({"verdict": ["accept"]}), "neither `accept` nor `reject`"),
        (say({"verdict": "reject"}), "it rejects without reasons"),
        (say({"verdict": "reject", "reasons": " \n"}), "it rejects without reasons"),
        (say({"verdict": "reject", "reasons": ["a"]}), "its reasons are no text"),
        (say({"verdict": "reject", "reasons": "r" * 6_001}), "its reasons are no text"),
        ("head -c 200000000 /dev/zero; " + say({"verdict": "accept"}), "more than 65536 bytes"),
    ],
)
def test_anything_else_is_no_verdict(ask: Ask, command: str, why: str) -> None:
    with pytest.raises(NoVerdict) as refusal:
        ask(command)

    assert why in str(refusal.value)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(ask: Ask, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    with pytest.raises(NoVerdict, match=r"it ran longer than its limit of 0\.5 s"):
        ask(f"sleep 300 & echo $! > {pid}; wait", time_limit_s=0.5)

    assert not is_alive(int(pid.read_text()))


def test_what_it_says_beside_the_verdict_does_not_count(ask: Ask) -> None:
    assert ask("echo thinking >&2; " + say({"verdict": "accept"})).accepted


def test_it_sees_the_question_an_empty_folder_and_no_secrets(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_GITHUB_TOKEN", "secret-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-2")
    script = (
        "import json, os, sys; print(json.dumps({'verdict': 'accept', 'reasons': json.dumps("
        "[json.load(sys.stdin), os.listdir('.'), sorted(os.environ), os.getsid(0)])}))"
    )

    verdict = ask(f'exec python3 -c "{script}"', {"diff": "+ \u00e9\n"})

    question, files, names, session = json.loads(verdict.reasons)
    assert (question, files) == ({"diff": "+ \u00e9\n"}, [])
    assert [name for name in names if "VOIDLUX" in name or "ANTHROPIC" in name] == []
    assert session != os.getsid(0)
