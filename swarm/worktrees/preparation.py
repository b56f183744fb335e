"""What happens in a worktree before its agent begins and after it ended: files and hooks."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, ExternalError
from swarm.gate.testrun import run_test_command
from swarm.git.command import Wrap
from swarm.git.repository import Repository
from swarm.worktrees.hooks import Hook, Kind, read_hooks
from swarm.worktrees.include import Included, copy_included
from swarm.worktrees.trust import is_trusted, note_seen

log = logging.getLogger(__name__)

RECORD = "worktree.json"


@dataclass(slots=True)
class HookOutcome:
    """What became of a hook: `ran`, `failed`, `timed_out` or `not_trusted`; `detail` says more."""

    state: str
    digest: str
    detail: str = ""
    exit_code: int | None = None
    duration_s: float = 0.0


@dataclass(slots=True)
class Preparation:
    """The evidence of a worktree: files that were copied, and its hooks by kind."""

    included: Included = field(default_factory=Included)
    hooks: dict[str, HookOutcome] = field(default_factory=dict)


def prepare(
    repo: Repository,
    worktree: Path,
    commit: str,
    run_dir: Path,
    *,
    with_files: bool = True,
    wrap: Wrap = list,
) -> Preparation:
    """Copy files and run the set-up hook of `commit`, once per run; evidence goes to `run_dir`.

    `with_files` is False for work of others, who must not see them; `wrap` turns the command line
    of a hook into that of a sandbox around it.

    DomainError `setup_failed` where a trusted hook fails, `bad_hooks` where it cannot be read.
    """
    done = read_record(run_dir)
    if done is not None:
        return done
    included = copy_included(repo, worktree) if with_files else Included()
    preparation = Preparation(included, _run_hooks(repo, worktree, commit, run_dir, "setup", wrap))
    outcome = preparation.hooks.get("setup")
    if outcome is not None and outcome.state in ("failed", "timed_out"):
        raise DomainError("setup_failed", f"the set-up hook {outcome.detail}")
    _write(run_dir, preparation)
    return preparation


def tear_down(repo: Repository, worktree: Path, commit: str, run_dir: Path) -> None:
    """Run the tear-down hook of `commit`; one that fails is noted and stops nothing."""
    done = read_record(run_dir) or Preparation()
    if "teardown" in done.hooks or not worktree.is_dir():
        return
    try:
        done.hooks |= _run_hooks(repo, worktree, commit, run_dir, "teardown")
        if "teardown" in done.hooks:
            _write(run_dir, done)
    except (DomainError, ExternalError, OSError) as error:
        log.warning("the tear-down hook of %s: %s", worktree.name, error)


def read_record(run_dir: Path) -> Preparation | None:
    """Return what is known of a run's worktree, None where nothing is."""
    try:
        stored = json.loads((run_dir / RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    hooks = {kind: HookOutcome(**each) for kind, each in stored["hooks"].items()}
    return Preparation(Included(**stored["included"]), hooks)


def describe(preparation: Preparation) -> dict[str, Any]:
    """Return the evidence as JSON-ready data."""
    return asdict(preparation)


def _run_hooks(
    repo: Repository, worktree: Path, commit: str, run_dir: Path, kind: Kind, wrap: Wrap = list
) -> dict[str, HookOutcome]:
    hook = read_hooks(repo, commit).get(kind)
    if hook is None:
        return {}
    note_seen(repo, [hook], now=now_utc())
    if not is_trusted(repo, hook):
        detail = f"{kind} hook is not run; see and trust it with: manage.py worktrees trust"
        log.warning("%s %s: %s", detail, repo.own_dir.name, hook.text.splitlines()[0][:200])
        return {kind: HookOutcome("not_trusted", hook.digest, f"{detail} {repo.own_dir.name}")}
    return {kind: _run(hook, worktree, run_dir, wrap)}


def _run(hook: Hook, worktree: Path, run_dir: Path, wrap: Wrap) -> HookOutcome:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ended = run_test_command(
        hook.text,
        cwd=worktree,
        log_path=run_dir / f"{hook.kind}.log",
        time_limit_s=hook.time_limit_s,
        env={"VOIDLUX_WORKTREE": str(worktree)},
        wrap=wrap,
    )
    if ended.passed:
        state, how = "ran", "ended well"
    elif ended.timed_out:
        state, how = "timed_out", f"ran longer than its limit of {hook.time_limit_s:g} s"
    else:
        state, how = "failed", f"ended with {ended.exit_code}"
    detail = f"{how}: {hook.text.splitlines()[0][:200]}\n{ended.output_tail}".strip()
    return HookOutcome(state, hook.digest, detail, ended.exit_code, round(ended.duration_s, 3))


def _write(run_dir: Path, preparation: Preparation) -> None:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = run_dir / f".{RECORD}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(preparation)), "utf-8")
    draft.replace(run_dir / RECORD)
