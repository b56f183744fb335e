"""A node whose agents are real programs: what a user has set up for each, and where they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.nodes import RealNode

KEY = "dummy-key-for-loopback"
MODEL = "played-1"

IDENTITY = "[user]\n\tname = Test\n\temail = test@example.invalid\n"
CODEX_CONFIG = """model = "{model}"
model_provider = "played"

[model_providers.played]
name = "Played"
base_url = "{url}/v1"
env_key = "PLAYED_API_KEY"
wire_api = "responses"
"""


class AgentNode(RealNode):
    """A real node that finds the programs of `programs` before all others."""

    def __init__(self, home: Path, programs: Path, **variables: str) -> None:
        super().__init__(home, **variables)
        self._programs = programs

    def environment(self) -> dict[str, str]:
        """Return all variables that its process gets."""
        return {
            **super().environment(),
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
        }


def set_up(tool: str, home: Path, url: str) -> None:
    """Set a tool up in a home as its user does once; its model is served at `url`."""
    (home / ".gitconfig").write_text(IDENTITY)
    _SET_UP[tool](home, url)


def _claude(home: Path, url: str) -> None:
    (home / ".claude.json").write_text(json.dumps({"hasCompletedOnboarding": True}))
    _give(
        home,
        "claude",
        ANTHROPIC_BASE_URL=url,
        ANTHROPIC_API_KEY=KEY,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_TELEMETRY="1",
    )


def _codex(home: Path, url: str) -> None:
    (home / ".codex").mkdir()
    config = CODEX_CONFIG.format(model=MODEL, url=url)
    (home / ".codex" / "config.toml").write_text(config)
    # With the system's bwrap it needs a program of its own in its home, which it does not put below
    # the folder of temporary files: the usual one has the homes of tests below it.
    temporary = home / "temporary"
    temporary.mkdir()
    _give(home, "codex", PLAYED_API_KEY=KEY, TMPDIR=str(temporary))


def _opencode(home: Path, url: str) -> None:
    folder = home / ".config" / "opencode"
    folder.mkdir(parents=True)
    played = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Played",
        "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
        "models": {MODEL: {"name": "Played One"}},
    }
    config = {
        "provider": {"played": played},
        "model": f"played/{MODEL}",
        "permission": {"bash": "ask"},
    }
    (folder / "opencode.json").write_text(json.dumps(config))
    _give(home, "opencode", OPENCODE_DISABLE_MODELS_FETCH="1")


def _give(home: Path, tool: str, **variables: str) -> None:
    path = home / "tools" / f"{tool}.env"
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


_SET_UP: dict[str, Callable[[Path, str], None]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
}
