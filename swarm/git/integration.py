"""The merge side of the gate: one worktree in which one parent's work comes together."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from p2p.protocol.errors import DomainError
from swarm.git.command import redact, run_git
from swarm.git.credits import credited
from swarm.git.fence import Fence
from swarm.git.merging import GATE_AUTHOR, commit_merge, forecast_merge, latest_date
from swarm.git.names import integration_branch, validate_commit
from swarm.git.pushing import push_branch
from swarm.git.repository import Repository
from swarm.git.worktrees import INITIALIZING, find_worktree, forget_worktree, is_intact


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """The result of one merge: the integration's head after it, or the conflicts and why."""

    ok: bool
    commit: str
    conflicts: list[str] = field(default_factory=list)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Integration:
    """An open integration worktree; one job at a time may hold it.

    `pushed` is what the remote showed at the branch when it was opened, None for no such branch;
    with a `fence` it is pushed under that only.
    """

    repo: Repository
    path: Path
    branch: str
    pushed: str | None = None
    fence: Fence | None = None

    @property
    def head(self) -> str:
        """The commit that the integration stands at."""
        return run_git(["rev-parse", "--verify", "HEAD"], cwd=self.path).stdout.strip()

    def merge(self, commit: str, message: str) -> MergeOutcome:
        """Merge `commit` with a merge commit; on conflict nothing changes.

        DomainError `commit_missing` where the clone lacks `commit`.
        """
        self.repo.require_commit(commit)
        outcome = self.merge_onto(self.head, commit, message)
        if outcome.ok:
            self.reset(outcome.commit)
        return outcome

    def merge_onto(self, head: str, commit: str, message: str) -> MergeOutcome:
        """Make the merge of `commit` into `head`, both in the clone; no ref and no file moves.

        The same arguments give the same commit again, so that what a killed worker did is found.
        """
        forecast = forecast_merge(self.repo.path, head, commit)
        if forecast.contained:
            return MergeOutcome(True, head, detail="already merged")
        if not forecast.clean:
            return MergeOutcome(False, head, forecast.conflicts, forecast.detail)
        parents = (head, commit)
        made = commit_merge(
            self.repo.path,
            forecast.tree,
            parents,
            credited(self.repo, head, commit, message),
            author=GATE_AUTHOR,
            date=latest_date(self.repo.path, parents),
        )
        return MergeOutcome(True, made)

    def reset(self, commit: str) -> None:
        """Put branch and files at `commit`, and drop whatever a test run left behind."""
        self.repo.require_commit(commit)
        with self.repo.locked():
            _place(self.path, self.branch, commit)

    def push(self, expected_remote: str | None) -> str:
        """Push the head over exactly `expected_remote` (None: no branch yet) and return it.

        DomainError `remote_moved` where the remote shows anything else, Fenced where the goal is
        a higher term's; a repeat is no error.
        """
        if self.fence is not None:
            return self.fence.push(self.head, expected_remote or "")
        return push_branch(self.repo, self.branch, expected_remote or "")

    def close(self) -> None:
        """Remove the worktree; its merges can be made again from the pushed commits."""
        with self.repo.locked():
            _discard(self.repo, self.path)


def open_integration(
    repo: Repository,
    parent_id: UUID | str,
    base_commit: str,
    *,
    last_pushed: str = "",
    fence: Fence | None = None,
) -> Integration:
    """Open the parent's worktree at its pushed branch, or at `base_commit` before any push.

    Whatever a killed worker left there, merged or half merged, is dropped first.  A branch that
    was deleted is opened at `last_pushed`; DomainError `integration_rewritten` where it lost that.
    """
    branch = integration_branch(parent_id)
    id8 = branch.rpartition("/")[2]
    path = repo.home / "worktrees" / ".merge" / "integrate" / id8
    pushed = repo.remote_head(branch)
    if pushed is not None:
        repo.fetch_commit(branch, pushed)
    start = pushed or validate_commit(last_pushed or base_commit)
    repo.require_commit(start)
    if last_pushed and not repo.is_ancestor(last_pushed, start):
        raise DomainError(
            "integration_rewritten",
            f"branch {branch} of {redact(repo.url)} shows {start}, without {last_pushed}",
        )
    with repo.locked():
        if _usable(repo, path):
            _place(path, branch, start)
        else:
            _discard(repo, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            repo.git("worktree", "add", "--no-track", "-B", branch, "--", str(path), start)
    return Integration(repo, path, branch, pushed, fence)


def _usable(repo: Repository, path: Path) -> bool:
    found = find_worktree(repo, path)
    if found is None or found.lock_reason == INITIALIZING:
        return False
    return is_intact(path, repo.path)


def _place(path: Path, branch: str, commit: str) -> None:
    _drop_index_lock(path)
    run_git(["symbolic-ref", "HEAD", f"refs/heads/{branch}"], cwd=path)
    run_git(["reset", "--quiet", "--hard", commit], cwd=path)
    # Ignored files go as well: what one test run built must not decide the next one.
    run_git(["clean", "--quiet", "-ffdx"], cwd=path)


def _drop_index_lock(path: Path) -> None:
    args = ["rev-parse", "--path-format=absolute", "--git-path", "index.lock"]
    # One job at a time is here and we hold the clone's lock, so this is a dead worker's.
    Path(run_git(args, cwd=path).stdout.rstrip("\n")).unlink(missing_ok=True)


def _discard(repo: Repository, path: Path) -> None:
    found = find_worktree(repo, path)
    shutil.rmtree(path, ignore_errors=True)
    if found is not None:
        forget_worktree(repo, found)
