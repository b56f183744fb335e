"""Rescue refs: made for all that the remote lacks of a worktree, pushed, and confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from p2p.protocol.errors import ExternalError
from swarm.git.command import QUERY_TIMEOUT_S, TRANSFER_TIMEOUT_S, redact, run_git
from swarm.git.names import validate_branch
from swarm.git.repository import Repository
from swarm.git.rescue.commits import commits_of, ids_in, named_in, tips_beyond
from swarm.git.rescue.nested import Nested, below, fetch_tips, find_nested, slug_of, tips_of
from swarm.git.rescue.snapshot import snapshot
from swarm.git.worktrees import find_worktree

RESCUE_ROOT = "refs/voidlux/rescue"
PUSH_REFS_MAX = 100


def rescue(repo: Repository, path: Path, branch: str) -> list[str]:
    """Keep all that the remote lacks of a worktree on refs that the remote confirms; their names.

    That is what is uncommitted, what its branch, head and reflogs reach, and what repositories
    inside it hold.  The folder may be gone.  ExternalError (retryable) while the remote does not
    confirm: the refs are then in the clone only, and it may be called again.
    """
    with repo.locked():
        repo.fetch_locked()
        refs = keep_local(repo, path, branch)
    _push(repo, refs)
    return sorted(refs)


def keep_local(repo: Repository, path: Path, branch: str) -> dict[str, str]:
    """Put refs on what `origin` lacks of a worktree and return them; hold the clone's lock."""
    prefix = f"{RESCUE_ROOT}/{validate_branch(branch)}"
    path = path.resolve()
    nested = find_nested(path) if path.is_dir() else []
    commits = _commits_of_worktree(repo, path, branch, nested)
    refs: dict[str, str] = {}
    for tip in tips_beyond(repo.path, commits, ["--remotes=origin"]):
        name = f"{prefix}/{tip[:12]}"
        repo.git("update-ref", name, tip)
        refs[name] = tip
    for each in nested:
        if not _is_ours(repo, each):
            target = f"{prefix}/{slug_of(path, each)}"
            refs |= fetch_tips(repo.path, each, tips_of(each, nested), target)
    return refs


def confirmed_refs(repo: Repository, pattern: str = f"{RESCUE_ROOT}/*") -> dict[str, str]:
    """Ask the remote for its rescue refs and their commits."""
    args = ["ls-remote", "--", repo.url, pattern]
    shown = run_git(args, timeout_s=QUERY_TIMEOUT_S).stdout
    pairs = (line.split("\t") for line in shown.splitlines())
    return {name: commit for commit, name in pairs}


def admin_dir(repo: Repository, path: Path) -> Path | None:
    """Return where the clone keeps what it knows of the worktree at `path`, or None."""
    for entry in (repo.path / "worktrees").glob("*/gitdir"):
        if Path(entry.read_text().strip()).parent.resolve() == path.resolve():
            return entry.parent
    return None


def _commits_of_worktree(
    repo: Repository, path: Path, branch: str, nested: Sequence[Nested]
) -> list[str]:
    admin = admin_dir(repo, path)
    known = ids_in([repo.path / "logs" / "refs" / "heads" / branch])
    found = find_worktree(repo, path)
    known += [found.head] if found is not None else []
    known += [head for head in (repo.local_head(branch),) if head]
    known += named_in(admin) if admin is not None else []
    if admin is not None and path.is_dir():
        known += _snapshot(path, admin, nested)
    for each in nested:
        if _is_ours(repo, each):
            known += named_in(each.git_dir) + _snapshot(each.path, each.git_dir, nested)
    return commits_of(repo.path, list(dict.fromkeys(known)))


def _snapshot(path: Path, git_dir: Path, nested: Sequence[Nested]) -> list[str]:
    made = snapshot(path, git_dir, below(path, nested))
    return [made] if made else []


def _is_ours(repo: Repository, nested: Nested) -> bool:
    return nested.common_dir.resolve() == repo.path.resolve()


def _push(repo: Repository, refs: dict[str, str]) -> None:
    if not refs:
        return
    missing = _unconfirmed(repo, refs)
    for start in range(0, len(missing), PUSH_REFS_MAX):
        specs = [f"+{refs[name]}:{name}" for name in missing[start : start + PUSH_REFS_MAX]]
        repo.git("push", "--quiet", "--", repo.url, *specs, timeout_s=TRANSFER_TIMEOUT_S)
    still = _unconfirmed(repo, refs) if missing else []
    if still:
        message = f"{redact(repo.url)} does not show {still[0]} after its push"
        raise ExternalError(message, retryable=True)


def _unconfirmed(repo: Repository, refs: dict[str, str]) -> list[str]:
    shown = confirmed_refs(repo)
    return [name for name, commit in refs.items() if shown.get(name) != commit]
