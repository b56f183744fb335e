"""The bare clone of one remote: made, refreshed and questioned."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.clone_settings import FETCH_REFSPEC, apply_settings
from swarm.git.command import (
    LOCAL_TIMEOUT_S,
    QUERY_TIMEOUT_S,
    TRANSFER_TIMEOUT_S,
    GitResult,
    redact,
    run_git,
)
from swarm.git.locking import clear_stale_locks, clone_lock
from swarm.git.names import validate_branch, validate_commit, validate_url

NAMES_ASKED_MAX = 200  # of one question to the remote, so that its command line stays short
PROBE_IDENTITY = {
    "GIT_AUTHOR_NAME": "VoidLux",
    "GIT_AUTHOR_EMAIL": "voidlux@voidlux.invalid",
    "GIT_COMMITTER_NAME": "VoidLux",
    "GIT_COMMITTER_EMAIL": "voidlux@voidlux.invalid",
}
# Every git knows the empty tree, and that by this id wherever ids are SHA-1.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class Repository:
    """A remote and its bare clone under `home`/repositories; safe to use from many processes."""

    def __init__(self, url: str, home: Path) -> None:
        """Take the remote and the node's home; DomainError `bad_repository` for a bad URL."""
        self.url = validate_url(url)
        self.home = home.resolve()
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        self.path = self.home / "repositories" / f"{digest}.git"

    @staticmethod
    def url_of(clone: Path) -> str:
        """Return the remote that a clone of ours was made for; empty where it is none."""
        args = ["config", "--get", "remote.origin.url"]
        return run_git(args, cwd=clone, check=False).stdout.strip()

    @property
    def own_dir(self) -> Path:
        """The operator's folder of this repository: files to include, and trust in its hooks."""
        return self.path.with_suffix("")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Return the lock around changes of refs and worktrees; it is not reentrant."""
        return clone_lock(self.path)

    def git(self, *args: str, timeout_s: float = LOCAL_TIMEOUT_S, check: bool = True) -> GitResult:
        """Run git on the clone; ExternalError as `run_git`."""
        return run_git(args, cwd=self.path, timeout_s=timeout_s, check=check)

    def ensure(self, commit: str = "") -> None:
        """Clone the remote, or fetch where the clone exists; a killed clone starts afresh.

        A clone that holds the `commit` that is needed is not fetched: the remote may be far away.
        """
        with self.locked():
            if self.path.is_dir():
                clear_stale_locks(self.path)  # a setting may be behind one
                apply_settings(self.path, self.url)
                if not commit or not self.has_commit(commit):
                    self.fetch_locked()
            else:
                self._clone()

    def fetch(self) -> None:
        """Bring refs/remotes/origin up to the remote; local branches stay as they are."""
        with self.locked():
            self.fetch_locked()

    def fetch_locked(self) -> None:
        """Fetch for a caller that already holds the lock."""
        # --prune reaches refs/remotes/origin only, so that a renamed remote branch cannot block.
        self._fetch(FETCH_REFSPEC, "--prune")

    def remote_head(self, branch: str) -> str | None:
        """Ask the remote for the commit at `branch`; None where it has no such branch."""
        return self._ask(f"refs/heads/{validate_branch(branch)}").get(f"refs/heads/{branch}")

    def remote_heads(self, branches: Sequence[str]) -> dict[str, str]:
        """Ask the remote once for the commits at `branches`; those that it lacks are left out."""
        refs = {f"refs/heads/{validate_branch(branch)}": branch for branch in branches}
        found: dict[str, str] = {}
        names = list(refs)
        for start in range(0, len(names), NAMES_ASKED_MAX):
            answer = self._ask(*names[start : start + NAMES_ASKED_MAX])
            found |= {refs[name]: commit for name, commit in answer.items() if name in refs}
        return found

    def shown_at(self, *refs: str) -> dict[str, str]:
        """Ask the remote once for the commits at exactly these refs; absent ones are left out."""
        return self._ask(*refs)

    def resolve_base(self, branch: str = "") -> tuple[str, str]:
        """Return (branch, commit) on the remote, of its default branch where none is named."""
        if branch:
            name, commit = branch, self.remote_head(branch)
        else:
            answer = self._ask("HEAD")
            name, commit = answer.get("symref", ""), answer.get("HEAD")
        if name and commit:
            return name, commit
        wanted = f"branch {branch!r}" if branch else "commit at a default branch: name a branch"
        raise DomainError("unknown_branch", f"{redact(self.url)} has no {wanted}", 422)

    def fetch_commit(self, branch: str, commit: str) -> None:
        """Fetch `branch` alone; DomainError `commit_missing` unless `commit` came with it."""
        validate_commit(commit)
        refspec = f"+refs/heads/{validate_branch(branch)}:refs/remotes/origin/{branch}"
        with self.locked():
            if self.has_commit(commit):
                return
            if self.remote_head(branch) is not None:
                self._fetch(refspec)
        self.require_commit(commit)

    def fetch_ref(self, ref: str) -> None:
        """Fetch one ref of the remote into the clone, under its own name there."""
        with self.locked():
            self._fetch(f"+{ref}:{ref}")

    def has_commit(self, commit: str) -> bool:
        """Tell whether the clone holds the commit object."""
        result = self.git("cat-file", "-e", f"{validate_commit(commit)}^{{commit}}", check=False)
        return result.code == 0

    def require_commit(self, commit: str) -> None:
        """DomainError `commit_missing` unless the clone holds the commit object."""
        if not self.has_commit(commit):
            raise DomainError("commit_missing", f"commit {commit} is not in {redact(self.url)}")

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Tell whether `descendant` contains `ancestor`; a commit contains itself."""
        self.require_commit(ancestor)
        self.require_commit(descendant)
        args = ("merge-base", "--is-ancestor", ancestor, descendant)
        result = self.git(*args, check=False)
        if result.code > 1:
            self.git(*args)
        return result.code == 0

    def same_files(self, one: str, other: str) -> bool:
        """Tell whether two commits of the clone have the same files."""
        shown = self.git("rev-parse", f"{one}^{{tree}}", f"{other}^{{tree}}").stdout.split()
        return shown[0] == shown[1]

    def local_head(self, branch: str) -> str | None:
        """Return the commit of the clone's own branch, or None."""
        ref = f"refs/heads/{branch}^{{commit}}"
        result = self.git("rev-parse", "--verify", "--quiet", ref, check=False)
        return result.stdout.strip() or None

    def can_push(self, ref: str = "") -> ExternalError | None:
        """Try a push to a probe branch without sending it; the error where it is refused."""
        try:
            if ref and self.remote_head(ref) is None:
                message = f"{redact(self.url)} has no branch {ref!r}"
                return ExternalError(message, retryable=False)
            self._probe_push()
        except ExternalError as error:
            return error
        return None

    def _probe_push(self) -> None:
        # An empty repository of its own: the answer must not wait for a first clone.
        with tempfile.TemporaryDirectory(prefix="voidlux-probe-") as folder:
            cwd = Path(folder)
            run_git(["init", "--quiet", "--bare", "--template=", "--object-format=sha1"], cwd=cwd)
            commit = ["commit-tree", "-m", "probe", EMPTY_TREE]
            made = run_git(commit, cwd=cwd, env_extra=PROBE_IDENTITY)
            target = f"refs/heads/voidlux-probe-{os.urandom(8).hex()}"
            refspec = f"{made.stdout.strip()}:{target}"
            args = ["push", "--dry-run", "--quiet", self.url, refspec]
            run_git(args, cwd=cwd, timeout_s=QUERY_TIMEOUT_S)

    def _fetch(self, refspec: str, *options: str) -> None:
        """Fetch for a caller that holds the lock; what a killed git left in the way is removed."""
        clear_stale_locks(self.path)
        # The URL is spelled out because agents may change the clone's configuration.
        args = ("fetch", "--quiet", *options, "--", self.url, refspec)
        self.git(*args, timeout_s=TRANSFER_TIMEOUT_S)

    def _ask(self, *names: str) -> dict[str, str]:
        """Return the remote's commits at exactly `names`, and the branch of HEAD as `symref`."""
        args = ["ls-remote", "--symref", "--", self.url, *names]
        answer: dict[str, str] = {}
        for line in run_git(args, timeout_s=QUERY_TIMEOUT_S).stdout.splitlines():
            value, _, found = line.partition("\t")
            if found in names and value.startswith("ref: refs/heads/"):
                answer["symref"] = value.removeprefix("ref: refs/heads/")
            elif found in names:
                answer[found] = value
        return answer

    def _clone(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{self.path.stem}-"
        for leftover in self.path.parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))
        try:
            run_git(["init", "--quiet", "--bare", "--initial-branch=voidlux-none"], cwd=folder)
            apply_settings(folder, self.url)
            args = ["fetch", "--quiet", "--", self.url, FETCH_REFSPEC]
            run_git(args, cwd=folder, timeout_s=TRANSFER_TIMEOUT_S)
            folder.rename(self.path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
