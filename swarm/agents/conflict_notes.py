"""The conflict that a run met when its worktree was made, kept in the run's folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from swarm.git.conflicts import Conflict

NOTES = "conflict.json"


def write(run_dir: Path, conflict: Conflict) -> None:
    """Keep a conflict for the run's prompt and for the look at what it left."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = run_dir / f".{NOTES}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(conflict)), "utf-8")
    draft.replace(run_dir / NOTES)


def read(run_dir: Path) -> Conflict | None:
    """Return the conflict that a run met, None where it met none."""
    try:
        return Conflict(**json.loads((run_dir / NOTES).read_text("utf-8")))
    except FileNotFoundError:
        return None
