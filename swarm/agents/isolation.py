"""Sold work in its cell: what of an attempt runs in a sandbox, and what it is shown there.

Blocking calls without any database, as in `swarm.agents.steps`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from django.conf import settings

from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import say
from swarm.agents.adapters import ToolAdapter, tool_named
from swarm.agents.places import run_dir_of, worktree_of
from swarm.agents.signals import SIGNALS
from swarm.agents.tool_environment import environment_of
from swarm.git.command import git_inside
from swarm.git.repository import Repository
from swarm.models import Attempt
from swarm.sandbox import bwrap, cell, isolation_of_sold_work, may_sell
from swarm.sandbox.sold import COPIES, HOME, SoldSandbox

CELL = "cell"
COPY_BYTES_MAX = 64 * 1024 * 1024

log = logging.getLogger(__name__)


def in_cell(attempt: Attempt) -> bool:
    """Tell whether the attempt's worktree is, or may be, at the mercy of a stranger's work.

    Until its cell is closed no git of ours may look at it, but inside the sandbox.
    """
    return cell.is_open(_cell_of(attempt))


def had_cell(attempt: Attempt) -> bool:
    """Tell whether the attempt runs, or ran, in a sandbox."""
    return _cell_of(attempt).exists()


def enclose(attempt: Attempt, author: str) -> None:
    """Make the cell of an attempt of sold work, where this machine has sandboxes.

    DomainError `no_sandbox` where it has none and its owner sells in nothing less.
    """
    if attempt.tribute_id is None or had_cell(attempt):
        return
    if not may_sell():
        why = f"sold work runs in a sandbox only, and {bwrap.obstacle()}"
        raise DomainError("no_sandbox", why)
    if isolation_of_sold_work() != "sandbox":
        return
    tool = _tool_of(attempt)
    run_dir_of(attempt).mkdir(mode=0o700, parents=True, exist_ok=True)
    copies = [(source, place) for source, place, _ in _copies(tool)]
    cell.furnish(_cell_of(attempt), worktree_of(attempt), attempt.branch, author, copies)


def sandbox_of(attempt: Attempt) -> SoldSandbox | None:
    """Return the sandbox of an attempt's run; None where it runs in none."""
    if not in_cell(attempt):
        return None
    tool, run_dir, place = _tool_of(attempt), run_dir_of(attempt), _cell_of(attempt)
    signals = run_dir / SIGNALS
    if tool.hooks is not None:
        signals.touch(mode=0o600)
    # A tool without the network could reach neither its model nor its node.
    network = tool.deliver == "prompt" or settings.ENVIRONMENT.sold_network == "1"
    _, clone = bwrap.git_folders(worktree_of(attempt))
    return SoldSandbox(
        worktree=worktree_of(attempt),
        clone=clone,
        cell=place,
        run_dir=run_dir,
        network=network,
        shown=(Path(say.__file__), *_shown(tool)),
        written=(signals,) if tool.hooks is not None else (),
        copies=tuple(
            (place / at, source)
            for source, at, mounted in _copies(tool)
            if mounted and (place / at).exists()
        ),
    )


@contextlib.contextmanager
def git_of(attempt: Attempt) -> Iterator[None]:
    """Run git in the attempt's worktree where it is safe to: in its sandbox, if it has one."""
    sandbox = _closed_sandbox(attempt)
    if sandbox is None:
        yield
        return
    cell.clear_locks(sandbox)
    with git_inside(sandbox.wrap_git):
        yield


def release(attempt: Attempt, repository: Repository) -> None:
    """Bring what was committed out of the cell; the worktree is then an ordinary one."""
    sandbox = _closed_sandbox(attempt)
    if sandbox is not None:
        cell.hand_over(sandbox, repository, attempt.branch)


def salvage(attempt: Attempt, repository: Repository) -> None:
    """Bring all out of the cell of a run that is over: on refs what can be, else as files."""
    sandbox = _closed_sandbox(attempt)
    if sandbox is None:
        return
    keep = False
    try:
        cell.clear_locks(sandbox)
        keep = not cell.save_files(sandbox)
        cell.hand_over(sandbox, repository, attempt.branch, keep=keep)
    except ExternalError as error:
        log.warning("the commits in the cell of %s are out of reach: %s", attempt.branch, error)
        keep = True
        cell.close(sandbox, repository, keep=True)
    if keep:
        log.warning("files of %s are kept in %s", attempt.branch, run_dir_of(attempt) / cell.LEFT)


def _cell_of(attempt: Attempt) -> Path:
    return run_dir_of(attempt) / CELL


def _closed_sandbox(attempt: Attempt) -> SoldSandbox | None:
    """Return the sandbox for git alone: without the network and what the tool is shown."""
    if not in_cell(attempt):
        return None
    worktree = worktree_of(attempt)
    cell.mend(worktree, Repository(attempt.repository, local_node().home))
    _, clone = bwrap.git_folders(worktree)
    return SoldSandbox(
        worktree=worktree,
        clone=clone,
        cell=_cell_of(attempt),
        run_dir=run_dir_of(attempt),
        network=False,
    )


def _tool_of(attempt: Attempt) -> ToolAdapter:
    return tool_named(attempt.agent.tool if attempt.agent is not None else "shell")


def _shown(tool: ToolAdapter) -> Iterator[Path]:
    """Yield what the tool reads: its program, and what its adapter names."""
    env = environment_of(tool)
    found = shutil.which(tool.start[0], path=env["PATH"])
    if found is not None:
        yield Path(found)
    yield from _expanded(tool.sandbox_paths, env)


def _copies(tool: ToolAdapter) -> list[tuple[Path, Path, bool]]:
    """Return what the tool gets a copy of: the source, and its place in the cell.

    The third is whether it is mounted at its own path, since it lies outside the home.
    """
    home = Path(os.environ.get("HOME", "/"))
    found = []
    for number, path in enumerate(_expanded(tool.sandbox_copies, environment_of(tool))):
        if not path.exists():
            continue
        if path.is_relative_to(home):
            found.append((path, Path(HOME) / path.relative_to(home), False))
        else:
            found.append((path, Path(COPIES) / str(number), True))
    size = sum(_size_of(path) for path, _, _ in found)
    if size > COPY_BYTES_MAX:
        message = f"sandbox_copies of {tool.name} take {size} bytes, at most {COPY_BYTES_MAX} may"
        raise DomainError("bad_tool", message, status=422)
    return found


def _expanded(paths: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Path]:
    """Yield paths with `~` and variables filled in; without those whose variable is not set."""
    for path in paths:
        with contextlib.suppress(KeyError):
            filled = Path(Template(path).substitute(env)).expanduser()
            if filled.is_absolute():
                yield filled


def _size_of(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(each.lstat().st_size for each in path.rglob("*"))
