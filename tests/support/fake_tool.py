"""The adapter of the fake CLI, and a home in which it is a tool."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import fake_cli

ADAPTER = """
name = "fake"
start = [{python}, {program}, {behaviour}]
deliver = "prompt"
interrupt = ["C-c"]
exit = "/exit"
environment = {{ PYTHONUNBUFFERED = "1" }}

[typing]
submit = ["Enter"]
clear = ["C-u"]
shown_as = '\\[Pasted \\d+ bytes\\]'

[[dialog]]
name = "trust"
asks = "Is this folder trusted?"
match = 'Do you trust this folder\\?'
choices = [
  {{ name = "yes", label = "Trust it", keys = ["1"] }},
  {{ name = "no", label = "Exit", keys = ["2"] }},
]

[[dialog]]
name = "permission"
asks = "May it run this?"
match = 'Do you want to run this command\\?'
choices = [{{ name = "yes", label = "Run it", keys = ["1"] }}]

[[usage_window]]
name = "allowance"
match = 'The allowance is used up(?: until (?P<epoch>\\d+)|, again in (?P<duration>[^\\n]+))?'
unless = 'ctrl\\+c to interrupt'
fallback_s = 1200
continue = "Go on."

[[screen]]
name = "spinner"
state = "working"
match = 'ctrl\\+c to interrupt'

[[screen]]
name = "prompt_box"
state = "ready"
match = '^={{60}}\\n>'
"""


class FakeTool:
    """The files of a fake CLI below a folder: its behaviour and what it has recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.behave()

    @property
    def adapter(self) -> str:
        """The TOML of a tool `fake` that runs the program with this behaviour."""
        return ADAPTER.format(
            python=json.dumps(sys.executable),
            program=json.dumps(fake_cli.__file__),
            behaviour=json.dumps(str(self._folder / "behaviour.json")),
        )

    def install(self, home: Path, more: str = "") -> None:
        """Make it a tool of the node in `home`; a sandbox has a copy of its folder."""
        (home / "tools").mkdir(parents=True, exist_ok=True)
        path = home / "tools" / "fake.toml"
        shown, copied = json.dumps([fake_cli.__file__]), json.dumps([str(self._folder)])
        path.write_text(f"sandbox_paths = {shown}\nsandbox_copies = {copied}\n{self.adapter}{more}")

    def behave(self, **behaviour: Any) -> None:
        """Say how it behaves from its next start, or its next prompt, on."""
        (self._folder / "behaviour.json").write_text(json.dumps(behaviour))

    def prompts(self, folder: Path | None = None) -> list[str]:
        """Return what was submitted to it, or to the one that works with a copy of its folder."""
        path = (folder or self._folder) / "prompts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def pressed(self) -> bytes:
        """Return every key that it got outside of pastes."""
        path = self._folder / "keys"
        return path.read_bytes() if path.exists() else b""
