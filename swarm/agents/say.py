"""What a shell block says to its node over MCP; standard library only, so that it starts fast.

In a block: `sh "$VOIDLUX_SAY" progress NOTE`, or `answer=$(sh "$VOIDLUX_SAY" ask QUESTION
[CHOICE...])`, which waits for a person and prints the answer. It ends with 1 and the reason on
stderr when the node refuses, and with 2 when it is called wrongly.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

USAGE = "usage: say progress NOTE | say ask QUESTION [CHOICE...]"
EXIT_REFUSED, EXIT_USAGE = 1, 2
WAIT_S = 20.0  # how long one call waits for an answer
CALL_TIMEOUT_S = 60.0
# A node that restarts is waited for this long; its question outlives it.
AWAY_S_MAX = 600.0
RETRY_EVERY_S = 0.5
SERVER_ERROR = 500
ASKED_BEFORE = ("already_asking", "answer_waits")


class Refused(Exception):
    """The node does not take what was said; the text is its reason."""


class Away(Exception):
    """The node did not answer: it may have taken what was said."""


class Voice:
    """Calls the tools of one run's access."""

    def __init__(self, access: dict[str, str], task_id: str) -> None:
        """Take the `url` and `token` of the run and the id of its task."""
        self._access = access
        self._task_id = task_id
        # Never through a proxy: the node is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def progress(self, note: str) -> None:
        """Say what is being done; raises Refused."""
        self._call_at_last("task_progress", note=note)

    def ask(self, question: str, choices: list[str]) -> str:
        """Ask a person and return the answer, as long as it takes; raises Refused."""
        self._call_at_last("task_needs_input", ASKED_BEFORE, question=question, choices=choices)
        while True:
            told = self._call_at_last("task_answer", wait_s=WAIT_S)
            if told["answered"]:
                return str(told["answer"])

    def _call_at_last(self, tool: str, done: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
        """Call a tool until the node answers; raises Refused.

        After a try whose answer was lost, a refusal that begins with one of `done` is a success.
        """
        gives_up_at = time.monotonic() + AWAY_S_MAX
        tried = False
        while True:
            try:
                return self._call(tool, given)
            except Refused as refusal:
                if tried and str(refusal).startswith(done):
                    return {}
                raise
            except Away as away:
                if time.monotonic() >= gives_up_at:
                    raise Refused(f"the node does not answer: {away}") from away
            tried = True
            time.sleep(RETRY_EVERY_S)

    def _call(self, tool: str, given: dict[str, Any]) -> dict[str, Any]:
        parameters = {"name": tool, "arguments": {"task_id": self._task_id, **given}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}
        return _result_of(self._post(json.dumps(message).encode()))

    def _post(self, body: bytes) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._access['token']}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        request = urllib.request.Request(self._access["url"], body, headers)
        try:
            with self._opener.open(request, timeout=CALL_TIMEOUT_S) as answer:
                told: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= SERVER_ERROR:
                raise Away(str(error)) from error
            raise Refused(str(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Away(str(error)) from error
        return told


def main(words: list[str]) -> int:
    """Say it and return the exit code."""
    wanted, said = words[:1], words[1:]
    known = (wanted == ["progress"] and len(said) == 1) or (wanted == ["ask"] and bool(said))
    if not known:
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    if not os.environ["VOIDLUX_MCP_FILE"]:
        print("this run has no network, and so no way to its node", file=sys.stderr)
        return EXIT_REFUSED
    access = json.loads(Path(os.environ["VOIDLUX_MCP_FILE"]).read_text(encoding="utf-8"))
    voice = Voice(access, os.environ["VOIDLUX_TASK_ID"])
    try:
        if wanted == ["progress"]:
            voice.progress(said[0])
        else:
            print(voice.ask(said[0], said[1:]))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return EXIT_REFUSED
    return 0


def _result_of(told: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's structured result; Refused with the text of its error."""
    if "error" in told:
        raise Refused(str(told["error"].get("message", told["error"])))
    result = told["result"]
    if result.get("isError"):
        text = "".join(str(each.get("text", "")) for each in result["content"])
        raise Refused(text.partition("Error executing tool ")[2].partition(": ")[2] or text)
    content: dict[str, Any] = result["structuredContent"]
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
