"""Pushes that replace only what was expected, and count only once the remote shows them."""

from __future__ import annotations

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.command import TRANSFER_TIMEOUT_S, redact
from swarm.git.names import validate_branch
from swarm.git.repository import Repository


def push_branch(repo: Repository, branch: str, expected_old: str | None = None) -> str:
    """Push the clone's `branch` with lease and return its commit as the remote confirms it.

    The remote must still show `expected_old` ("" for no such branch; None for whatever it shows
    now), and the push only ever adds to that.  DomainError `remote_moved` where it would not.
    """
    commit = repo.local_head(validate_branch(branch))
    if commit is None:
        raise DomainError("unknown_branch", f"the clone has no branch {branch!r} to push")
    shown = repo.remote_head(branch) or ""
    if shown == commit:  # a worker that died after its push already did it
        return commit
    if expected_old is not None and shown != expected_old:
        raise remote_moved(repo, branch, expected_old, shown)
    require_contained(repo, branch, shown, commit)
    _push(repo, branch, commit, shown)
    return commit


def fast_forward(repo: Repository, branch: str, commit: str) -> str:
    """Push `commit` to a branch of the remote that it contains; return what the remote shows.

    DomainError `remote_moved` where the branch is gone, or holds what `commit` does not.
    """
    shown = repo.remote_head(branch) or ""
    if shown == commit:  # a worker that died after its push already did it
        return commit
    if not shown:
        raise remote_moved(repo, branch, f"an ancestor of {commit}", shown)
    repo.require_commit(commit)
    require_contained(repo, branch, shown, commit)
    _push(repo, branch, commit, shown)
    return commit


def require_contained(repo: Repository, branch: str, shown: str, commit: str) -> None:
    """DomainError `remote_moved` unless `commit` contains what the branch shows ("": nothing)."""
    if not shown:
        return
    repo.fetch_commit(branch, shown)
    if not repo.is_ancestor(shown, commit):
        raise remote_moved(repo, branch, f"an ancestor of {commit}", shown)


def _push(repo: Repository, branch: str, commit: str, expected: str) -> None:
    ref = f"refs/heads/{branch}"
    args = ("push", "--quiet", f"--force-with-lease={ref}:{expected}", "--", repo.url)
    failure: ExternalError | None = None
    try:
        with repo.locked():
            repo.git(*args, f"{commit}:{ref}", timeout_s=TRANSFER_TIMEOUT_S)
    except ExternalError as error:
        failure = error
    shown = repo.remote_head(branch) or ""  # the remote's word decides, not the exit code
    if shown == commit:
        return
    if failure is not None and shown == expected:
        raise failure
    raise remote_moved(repo, branch, commit if failure is None else expected, shown)


def remote_moved(repo: Repository, branch: str, expected: str, shown: str) -> DomainError:
    """Return the error of a branch that shows something else than was expected."""
    return DomainError(
        "remote_moved",
        f"branch {branch} of {redact(repo.url)} shows {shown or 'nothing'}, "
        f"expected {expected or 'nothing'}",
    )
