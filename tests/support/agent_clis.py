"""The real agent programs, in exact versions, in a cache outside the repository."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.services import is_lacking

PACKAGES = {
    "@anthropic-ai/claude-code": "2.1.197",
    "@openai/codex": "0.169.0",
    "opencode-ai": "1.18.33",
}
CACHE_VARIABLE = "VOIDLUX_AGENT_CLIS"
INSTALL_S = 540.0


def installed_programs() -> Path:
    """Return the folder with `claude`, `codex` and `opencode`; installs what is not there.

    Skips the test where npm is missing or cannot install; fails it where services are required.
    """
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache/voidlux/agent-clis")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = {name: v for name, v in PACKAGES.items() if _version_in(folder, name) != v}
        if missing:
            _install(folder)
    return folder / "node_modules" / ".bin"


def _version_in(folder: Path, package: str) -> str | None:
    try:
        text = (folder / "node_modules" / package / "package.json").read_text("utf-8")
    except OSError:
        return None
    version: str = json.loads(text)["version"]
    return version


def _install(folder: Path) -> None:
    npm = shutil.which("npm") or is_lacking("npm is not installed, which installs the agent CLIs")
    # All of them each time: npm removes what the command line does not name.
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    quiet = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        ended = subprocess.run(
            [npm, "install", "--prefix", str(folder), *quiet, *wanted],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        is_lacking(f"npm did not install {', '.join(wanted)} within {INSTALL_S:.0f} s")
    if ended.returncode != 0:
        is_lacking(f"npm could not install {', '.join(wanted)}: {ended.stderr[-500:]}")
