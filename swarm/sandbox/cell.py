"""A cell: what one run of sold work has for itself, and the way out of it for its commits.

The repository in a cell looks like the node's clone, at the same path, with the run's branch
alone. What the run leaves is committed inside the sandbox too: outside, git never reads anything
that a stranger's program may have written, but a bundle of commits.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from p2p.protocol.errors import ExternalError
from swarm.git.command import TRANSFER_TIMEOUT_S, git_inside, run_git
from swarm.git.merging import identity_environment
from swarm.git.names import validate_branch
from swarm.git.repository import Repository
from swarm.git.rescue.rescuing import admin_dir
from swarm.sandbox import bwrap
from swarm.sandbox.sold import CONFIG, COPIES, GIT, HOME, OUT, SHARED, SoldSandbox

TIPS_MAX = 200
LEFT = "left"  # the run's own files, once its commits are out; beside the cell
OVER = "over"
_INSIDE_REFS, _OUTSIDE_REFS = "refs/left", "refs/voidlux/left"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_AUTHOR = "VoidLux rescue <rescue@voidlux.invalid>"
_SETTINGS = """\
[core]
\tlogAllRefUpdates = always
[gc]
\tauto = 0
"""
_IDENTITY = """\
[user]
\tname = {name}
\temail = {email}
"""

log = logging.getLogger(__name__)


def furnish(
    cell: Path, worktree: Path, branch: str, author: str, copies: Iterable[tuple[Path, Path]] = ()
) -> None:
    """Make the cell of a worktree that nobody has worked in; one that is there is kept.

    `copies` are pairs of a file or folder and its place in the cell.
    """
    if cell.exists():
        return
    draft = cell.with_name(f"{cell.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    own, clone = bwrap.git_folders(worktree)
    _make_repository(draft / GIT, own, clone, branch)
    name, _, mail = author.partition(" <")
    identity = _IDENTITY.format(name=name, email=mail.rstrip(">"))
    (draft / CONFIG).write_text(bwrap.format_of(clone) + _SETTINGS + identity, "utf-8")
    for folder in (HOME, COPIES, OUT):
        (draft / folder).mkdir(mode=0o700)
    (draft / HOME / ".gitconfig").write_text(identity, "utf-8")
    for source, place in copies:
        _copy(source, draft / place)
    draft.rename(cell)


def clear_locks(sandbox: SoldSandbox) -> None:
    """Remove lock files that a killed git left in the cell, in which nothing runs any more."""
    if not _has_locks(sandbox.cell / GIT):
        return
    shared = sandbox.clone / SHARED
    words = ["find", str(sandbox.clone), "-path", str(shared), "-prune", "-o", "-name", "*.lock"]
    why = bwrap.why_not(
        sandbox.wrap_git([*words, "-type", "f", "-exec", "rm", "-f", "{}", "+"]), sandbox.worktree
    )
    if why:
        raise ExternalError(f"the sandbox of {sandbox.worktree.name}: {why}", retryable=False)


def is_open(cell: Path) -> bool:
    """Tell whether a cell is there whose run has not been brought out yet."""
    return (cell / GIT).exists()


def mend(worktree: Path, repo: Repository) -> None:
    """Make a worktree that was deleted anew, at its branch, so that its cell can be closed."""
    if not worktree.exists():
        _restore(worktree, repo)


def hand_over(sandbox: SoldSandbox, repo: Repository, branch: str, *, keep: bool = False) -> None:
    """Bring the run's commits into the clone and put the worktree at its branch; may be repeated.

    ExternalError, and nothing is changed, where its repository or the sandbox cannot be used.
    """
    if not _set_aside(sandbox).exists():
        _collect(sandbox, repo, branch)
    close(sandbox, repo, keep=keep)


def close(sandbox: SoldSandbox, repo: Repository, *, keep: bool = False) -> None:
    """Put the worktree at its branch in the clone, with the files of that; may be repeated.

    All else that the run had is deleted, or, with `keep`, stays beside the cell.
    """
    aside = _set_aside(sandbox)
    if not aside.exists():
        sandbox.worktree.rename(aside)
    _restore(sandbox.worktree, repo)
    for ref, tip in _taken_in(repo, sandbox).items():
        # Where what is not pushed of a worktree is looked for when it is removed.
        run_git(["update-ref", f"refs/worktree/left/{tip}", tip], cwd=sandbox.worktree)
        repo.git("update-ref", "-d", ref)
    if not keep:
        shutil.rmtree(aside, ignore_errors=True)
    over = sandbox.cell / OVER
    shutil.rmtree(over, ignore_errors=True)
    (sandbox.cell / GIT).rename(over)
    for name in (OVER, HOME, COPIES, OUT):
        shutil.rmtree(sandbox.cell / name, ignore_errors=True)


def save_files(sandbox: SoldSandbox) -> bool:
    """Commit what is uncommitted on no branch, for `hand_over` to find; False where some is not.

    That is what repositories inside the worktree hold, or all, where its own cannot be used.
    """
    try:
        with git_inside(sandbox.wrap_git):
            run_git(["add", "--all"], cwd=sandbox.worktree)
            tree = run_git(["write-tree"], cwd=sandbox.worktree).stdout.strip()
            words = ["commit-tree", tree, "-p", "HEAD", "-m", "Uncommitted work"]
            env = identity_environment(_AUTHOR)
            made = run_git(words, cwd=sandbox.worktree, env_extra=env).stdout.strip()
            run_git(["update-ref", "refs/heads/voidlux-left", made], cwd=sandbox.worktree)
    except ExternalError as error:
        log.warning("what %s holds cannot be committed: %s", sandbox.worktree.name, error)
        return False
    return not _holds_repositories(sandbox.worktree)


def _make_repository(git: Path, own: Path, clone: Path, branch: str) -> None:
    for name in ("objects/info", "objects/pack", "refs/heads", "logs/refs/heads", "info", SHARED):
        (git / name).mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/voidlux-none\n")
    (git / "config").touch()
    (git / "info" / "exclude").touch()
    (git / "objects" / "info" / "alternates").write_text(f"{clone / SHARED}\n")
    if (clone / "shallow").is_file():
        shutil.copy(clone / "shallow", git / "shallow")
    shutil.copytree(own, git / "worktrees" / own.name, ignore=shutil.ignore_patterns("*.lock"))
    head = run_git(["rev-parse", "--verify", f"refs/heads/{branch}"], cwd=clone).stdout
    ref = git / "refs" / "heads" / validate_branch(branch)
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(head)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, symlinks=True, ignore_dangling_symlinks=True)
    else:
        shutil.copy(source, place)


def _has_locks(git: Path) -> bool:
    # Names alone are read here, and no link is followed.
    return any(name.endswith(".lock") for _, _, names in os.walk(git) for name in names)


def _set_aside(sandbox: SoldSandbox) -> Path:
    return sandbox.cell.with_name(LEFT)


def _collect(sandbox: SoldSandbox, repo: Repository, branch: str) -> None:
    """Bring the commits that the cell's refs and reflogs name into the clone."""
    known = repo.local_head(branch)
    with git_inside(sandbox.wrap_git):
        branches, named = _named(sandbox.worktree)
    head = branches.get(f"refs/heads/{validate_branch(branch)}", "")
    news = [tip for tip in named if not repo.has_commit(tip)]
    if news:
        bundle = sandbox.cell / OUT / "bundle"
        with git_inside(sandbox.wrap_git):
            _pack(sandbox.worktree, bundle, news, known)
        _take_in(repo, bundle, _refs_of(sandbox))
    if head and repo.has_commit(head):
        with repo.locked():
            repo.git("update-ref", f"refs/heads/{branch}", head)


def _named(worktree: Path) -> tuple[dict[str, str], list[str]]:
    """Return the branches, and the commits that they, the head and reflogs name.

    ExternalError where git cannot say.
    """
    args = ["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"]
    lines = run_git(args, cwd=worktree).stdout.splitlines()
    pairs = (line.rpartition(" ") for line in lines)
    branches = {name: tip for name, _, tip in pairs if _COMMIT.fullmatch(tip)}
    asked = (
        ["rev-parse", "--verify", "--quiet", "HEAD"],
        ["log", "--walk-reflogs", "--all", "--format=%H", f"--max-count={TIPS_MAX}"],
    )
    words = " ".join(run_git(args, cwd=worktree, check=False).stdout for args in asked).split()
    found = dict.fromkeys((*branches.values(), *words))
    return branches, [name for name in found if _COMMIT.fullmatch(name)][:TIPS_MAX]


def _pack(worktree: Path, bundle: Path, tips: list[str], known: str | None) -> None:
    """Write a bundle of what the tips have beyond `known`, a commit of the clone."""
    refs = [f"{_INSIDE_REFS}/{tip}" for tip in tips]
    lines = "".join(f"update {ref} {tip}\n" for ref, tip in zip(refs, tips, strict=True))
    run_git(["update-ref", "--stdin"], cwd=worktree, stdin=lines)
    beyond = [f"^{known}"] if known else []
    run_git(["bundle", "create", "--quiet", str(bundle), *refs, *beyond], cwd=worktree)


def _take_in(repo: Repository, bundle: Path, refs: str) -> None:
    with repo.locked():
        repo.git(
            *("-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--no-tags"),
            *("--no-write-fetch-head", "--", str(bundle), f"+{_INSIDE_REFS}/*:{refs}/*"),
            timeout_s=TRANSFER_TIMEOUT_S,
        )


def _refs_of(sandbox: SoldSandbox) -> str:
    return f"{_OUTSIDE_REFS}/{sandbox.run_dir.name}"


def _taken_in(repo: Repository, sandbox: SoldSandbox) -> dict[str, str]:
    asked = ("for-each-ref", "--format=%(refname) %(objectname)", _refs_of(sandbox))
    lines = repo.git(*asked).stdout.splitlines()
    return dict(line.split(" ") for line in lines)


def _restore(worktree: Path, repo: Repository) -> None:
    worktree.mkdir(exist_ok=True)
    admin = admin_dir(repo, worktree)
    if admin is None:
        raise ExternalError(f"the clone does not know worktree {worktree.name}", retryable=False)
    (worktree / ".git").write_text(f"gitdir: {admin}\n")
    run_git(["reset", "--quiet", "--hard"], cwd=worktree)


def _holds_repositories(worktree: Path) -> bool:
    return any(
        ".git" in (*folders, *files)
        for path, folders, files in os.walk(worktree)
        if path != str(worktree)
    )
