"""A terminal program that behaves like an agent CLI, and misbehaves on demand; stdlib only.

`python fake_cli.py BEHAVIOUR.json`, its MCP server in FAKE_MCP_URL and FAKE_MCP_TOKEN: raw mode,
a boot banner, a prompt box that takes bracketed pastes, a spinner while it works, dialogs.
The behaviour is read anew for every prompt: `boot_s`, `banner`, `blank`, `dialog_at_start`,
`dialog_on_paste` (opens as soon as a paste begins, and swallows it),
`swallow_pastes` (a number), `paste_s` (slow to show a paste), `work_s`,
`exhausted` (what it says instead of working),
`asks` (a question and its choices, by `task_needs_input`; goes on at the next prompt),
`ask_permission` (for these commands, which it does not run),
`commands` (run by sh in the folder), `claim` (calls `task_complete`), `crash`
(`at_start`, `on_paste` or `at_work`), `ignore_submits` (a number). What was submitted is appended
to `prompts.jsonl` beside the behaviour, every key that came outside a paste to `keys`.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import termios
import time
import tty
import urllib.request
from pathlib import Path
from typing import Any

PASTE_BEGIN, PASTE_END = b"\x1b[200~", b"\x1b[201~"
RULE = "=" * 60
SPINNER = "|/-\\"
SHOWN_CHARS_MAX = 400


class FakeCli:
    """The program's state: what is in its input box, and what it is doing."""

    def __init__(self, behaviour: Path, mcp: tuple[str, str] | None) -> None:
        self._path = behaviour
        self._folder = behaviour.parent
        self._mcp = mcp
        self._typed = b""
        self._buffer = b""
        self._transcript: list[str] = ["Fake CLI 1.0"]
        self._swallowed = self._ignored = 0
        self._task_id = ""
        self._shown = self._last_frame = ""

    def run(self) -> int:
        """Boot, then take prompts until `/exit`; returns the exit code."""
        if self._says("crash") == "at_start":
            print("fatal: cannot start", flush=True)
            return 3
        time.sleep(float(self._says("boot_s") or 0))
        os.write(1, b"\x1b[?2004h")
        if self._says("blank"):
            while True:
                self._read(60)
        if self._says("dialog_at_start"):
            self._dialog("Do you trust this folder?")
        if self._says("banner"):
            self._transcript.append(self._says("banner"))
        self._draw()
        while True:
            self._take_input()

    def _says(self, key: str) -> Any:
        return json.loads(self._path.read_text()).get(key)

    def _take_input(self) -> None:
        if not self._buffer:
            self._buffer = self._read(60)
        if self._buffer.startswith(PASTE_BEGIN):
            self._take_paste()
        elif self._buffer:
            key, self._buffer = self._buffer[:1], self._buffer[1:]
            self._take_key(key)

    def _take_key(self, key: bytes) -> None:
        self._note_key(key)
        if key == b"\r":
            self._submit()
        elif key == b"\x15":
            self._typed = b""
        elif key not in b"\x1b\x03":
            self._typed += key
        self._draw()

    def _note_key(self, key: bytes) -> None:
        with (self._folder / "keys").open("ab") as log:
            log.write(key)

    def _take_paste(self) -> None:
        if self._says("crash") == "on_paste":
            self._leave(9)
        if self._says("dialog_on_paste") and not (self._folder / "asked").exists():
            (self._folder / "asked").touch()
            self._paste()
            self._dialog("Do you trust this folder?")
            self._draw()
            return
        text = self._paste()
        if self._swallowed < int(self._says("swallow_pastes") or 0):
            self._swallowed += 1
            return
        time.sleep(float(self._says("paste_s") or 0))
        self._typed += text
        self._draw()

    def _paste(self) -> bytes:
        while PASTE_END not in self._buffer:
            self._buffer += self._read(60)
        text, _, self._buffer = self._buffer.removeprefix(PASTE_BEGIN).partition(PASTE_END)
        return text

    def _submit(self) -> None:
        if self._ignored < int(self._says("ignore_submits") or 0):
            self._ignored += 1
            return
        text, self._typed = self._typed.decode(), b""
        if text.strip() == "/exit":
            self._leave(0)
        if text.strip():
            with (self._folder / "prompts.jsonl").open("a") as log:
                log.write(json.dumps(text) + "\n")
            self._work(text)

    def _work(self, text: str) -> None:
        if self._says("crash") == "at_work":
            os.write(1, b"\r\nfatal: out of memory\r\n")
            self._leave(9)
        ends_at = time.monotonic() + float(self._says("work_s") or 0)
        turn = 0
        while turn == 0 or time.monotonic() < ends_at:
            self._draw(f"{SPINNER[turn % 4]} Working (ctrl+c to interrupt)")
            if b"\x03" in self._read(0.05):
                self._note_key(b"\x03")
                self._transcript.append("Interrupted")
                return
            turn += 1
        found = re.search(r"VoidLux task ([0-9a-f]{32}), attempt", text)
        self._task_id = found[1] if found else self._task_id
        if found and self._says("asks"):
            self._call("task_needs_input", {"task_id": self._task_id, **self._says("asks")})
            self._transcript.append("Asked.")
            return
        if self._says("exhausted"):
            self._transcript.append(self._says("exhausted"))
            return
        for command in self._says("ask_permission") or []:
            self._dialog(f"Do you want to run this command?\n{command}")
        for command in self._says("commands") or []:
            subprocess.run(["sh", "-c", command], check=True, capture_output=True)
        if self._says("claim") and self._task_id and self._mcp:
            done = {"task_id": self._task_id, "summary": "did it", "commit": ""}
            self._call("task_complete", done)
        self._transcript.append("Done.")

    def _call(self, tool: str, arguments: dict[str, Any]) -> None:
        assert self._mcp is not None
        url, token = self._mcp
        params = {"name": tool, "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        request = urllib.request.Request(url, json.dumps(body).encode())
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json, text/event-stream")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            response.read()

    def _dialog(self, question: str) -> None:
        """Show a dialog until 1 or 2 is pressed; everything else is swallowed."""
        self._frame([*self._transcript, question, "> 1. Yes", "  2. No", "(press 1 or 2)"])
        while True:
            for key in self._read(60):
                if key == ord("1"):
                    return
                if key == ord("2"):
                    self._leave(1)

    def _draw(self, doing: str = "") -> None:
        shown = self._typed.decode(errors="replace")
        if len(shown) > SHOWN_CHARS_MAX:
            shown = f"[Pasted {len(self._typed)} bytes]"
        lines = [*self._transcript[-10:], doing, RULE, f"> {shown}", RULE]
        self._frame([line for line in lines if line])

    def _frame(self, lines: list[str]) -> None:
        text = "\r\n".join(line.replace("\n", "\r\n") for line in lines)
        if text != self._last_frame:
            os.write(1, b"\x1b[2J\x1b[H" + text.encode())
            self._last_frame = text

    def _read(self, wait_s: float) -> bytes:
        ready, _, _ = select.select([0], [], [], wait_s)
        data = os.read(0, 65536) if ready else b""
        if ready and not data:
            self._leave(0)  # the terminal is gone
        return data

    def _leave(self, code: int) -> None:
        os.write(1, b"\x1b[?2004l")
        raise SystemExit(code)


def main(arguments: list[str]) -> int:
    """Run in raw mode; the terminal is put back at the end."""
    mcp = None
    if "FAKE_MCP_URL" in os.environ:
        mcp = os.environ["FAKE_MCP_URL"], os.environ["FAKE_MCP_TOKEN"]
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        return FakeCli(Path(arguments[0]), mcp).run()
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
