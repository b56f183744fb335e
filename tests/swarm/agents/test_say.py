"""The command of shell blocks against a server that loses answers, refuses or stays away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from swarm.agents import say
from tests.support.http_serving import serving

Answer = dict[str, Any] | int | None
TASK = "a1" * 16


def result(**content: Any) -> Answer:
    return {"result": {"isError": False, "content": [], "structuredContent": content}}


def refusal(tool: str, text: str) -> Answer:
    said = {"type": "text", "text": f"Error executing tool {tool}: {text}"}
    return {"result": {"isError": True, "content": [said]}}


@contextmanager
def node(*answers: Answer) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Serve answers one after the other: None loses one, a number is a status; yields the calls."""
    calls: list[tuple[str, dict[str, Any]]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["params"]
            assert self.headers["Authorization"] == "Bearer secret"
            calls.append((told["name"], told["arguments"]))
            answer = left.pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, body = (answer, b"") if isinstance(answer, int) else (200, _bytes(answer))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/mcp", calls


def _bytes(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def run(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a block does."""
    access = folder / "mcp.json"
    access.write_text(json.dumps({"url": url, "token": "secret"}))
    env = {"PATH": os.environ["PATH"], "VOIDLUX_TASK_ID": TASK, "VOIDLUX_MCP_FILE": str(access)}
    # A proxy of the user's must not see what is said.
    env["http_proxy"] = "http://127.0.0.1:1"
    return subprocess.run(
        [sys.executable, "-I", say.__file__, *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_answer_is_waited_for_and_printed(tmp_path: Path) -> None:
    told = (result(number=1), result(answered=False), result(answered=True, answer="two\nlines"))
    with node(*told) as (url, calls):
        done = run(tmp_path, url, "ask", "Which?", "one", "two")
    assert (done.returncode, done.stdout, done.stderr) == (0, "two\nlines\n", "")
    assert calls == [
        ("task_needs_input", {"task_id": TASK, "question": "Which?", "choices": ["one", "two"]}),
        ("task_answer", {"task_id": TASK, "wait_s": say.WAIT_S}),
        ("task_answer", {"task_id": TASK, "wait_s": say.WAIT_S}),
    ]


@pytest.mark.parametrize("lost", [None, 503])
def test_a_question_whose_answer_was_lost_is_not_asked_twice(tmp_path: Path, lost: Answer) -> None:
    again = refusal("task_needs_input", "already_asking: question 1 is not answered yet")
    with node(lost, again, result(answered=True, answer="two")) as (url, calls):
        done = run(tmp_path, url, "ask", "Which?")
    assert (done.returncode, done.stdout) == (0, "two\n")
    assert [tool for tool, _ in calls] == ["task_needs_input", "task_needs_input", "task_answer"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal("task_needs_input", "already_asking: 1: wait"), "already_asking: 1: wait\n"),
        (401, "HTTP Error 401: Unauthorized\n"),
        ({"error": {"code": -32602, "message": "bad arguments"}}, "bad arguments\n"),
    ],
)
def test_a_refusal_ends_it_with_the_reason(tmp_path: Path, answer: Answer, reason: str) -> None:
    with node(answer) as (url, _):
        done = run(tmp_path, url, "ask", "Which?")
    assert (done.returncode, done.stdout, done.stderr) == (say.EXIT_REFUSED, "", reason)


@pytest.mark.parametrize("words", [(), ("ask",), ("progress",), ("progress", "a", "b"), ("sing",)])
def test_a_wrong_call_says_what_is_right(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, "http://127.0.0.1:1/mcp", *words)
    assert (done.returncode, done.stderr) == (say.EXIT_USAGE, f"{say.USAGE}\n")


def test_a_node_that_stays_away_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    access = tmp_path / "mcp.json"
    access.write_text(json.dumps({"url": "http://127.0.0.1:1/mcp", "token": "secret"}))
    monkeypatch.setenv("VOIDLUX_MCP_FILE", str(access))
    monkeypatch.setenv("VOIDLUX_TASK_ID", TASK)
    monkeypatch.setattr(say, "AWAY_S_MAX", 0.0)
    assert say.main(["progress", "works"]) == say.EXIT_REFUSED
    assert capsys.readouterr().err.startswith("the node does not answer: ")
