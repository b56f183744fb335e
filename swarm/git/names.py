"""Names that cross the border to git: remotes, branches and commits, checked before use."""

from __future__ import annotations

import re
from uuid import UUID

from p2p.protocol.errors import DomainError
from swarm.git.command import redact, run_git

URL_CHARS_MAX = 512
BRANCH_CHARS_MAX = 200
ID_DIGITS = 8

_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_USER = r"(?:[^\s/@:-][^\s/@]*@)?"
_ALLOWED_URLS = (
    re.compile(rf"https?://{_USER}{_HOST}(?::\d+)?/\S+"),
    re.compile(rf"ssh://{_USER}{_HOST}(?::\d+)?/\S+"),
    re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]*@{_HOST}:[^\s:-]\S*"),
    re.compile(r"file:///.+"),
    re.compile(r"/.+"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Whatever is made of these alone git accepts too, so that it need not be asked.
_PLAIN_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:/[A-Za-z0-9_-]+)*")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def validate_url(url: str) -> str:
    """Return `url` if git may be given it as a remote; otherwise DomainError `bad_repository`."""
    if len(url) > URL_CHARS_MAX:
        raise _bad_repository(f"repository of {len(url)} characters exceeds {URL_CHARS_MAX}")
    if _CONTROL.search(url) or url != url.strip():
        raise _bad_repository(f"repository {url!r} holds control characters or outer blanks")
    if not any(pattern.fullmatch(url) for pattern in _ALLOWED_URLS):
        allowed = "http(s)://, ssh://, user@host:path, file:/// or an absolute path is allowed"
        raise _bad_repository(f"repository {redact(url)!r} is not a remote: {allowed}")
    return url


def validate_branch(branch: str) -> str:
    """Return `branch` if git accepts it as a branch name; otherwise DomainError `bad_branch`."""
    if not branch or len(branch) > BRANCH_CHARS_MAX or _CONTROL.search(branch):
        raise DomainError(
            "bad_branch", f"branch {branch[:40]!r}: 1 to {BRANCH_CHARS_MAX} characters allowed", 422
        )
    valid = _PLAIN_BRANCH.fullmatch(branch) is not None or _is_accepted_by_git(branch)
    if not valid or branch.startswith("-") or branch == "HEAD":
        raise DomainError("bad_branch", f"branch {branch!r} is no valid branch name", 422)
    return branch


def validate_commit(commit: str) -> str:
    """Return `commit` if it is a full lower-case id; otherwise DomainError `bad_commit`."""
    if not _SHA.fullmatch(commit):
        raise DomainError("bad_commit", f"commit {commit[:70]!r} is not 40 or 64 hex digits", 422)
    return commit


def attempt_branch(task_id: UUID | str, attempt: int) -> str:
    """Return the branch of an attempt, counted from 1: `task/{id8}`, then `task/{id8}-2`."""
    suffix = "" if attempt == 1 else f"-{attempt}"
    return f"task/{_id8(task_id)}{suffix}"


def integration_branch(parent_id: UUID | str) -> str:
    """Return the branch that collects a parent's merged work: `integrate/{id8}`."""
    return f"integrate/{_id8(parent_id)}"


def _is_accepted_by_git(branch: str) -> bool:
    return run_git(["check-ref-format", f"refs/heads/{branch}"], check=False).code == 0


def _id8(identifier: UUID | str) -> str:
    digits = UUID(str(identifier)).hex
    return digits[:ID_DIGITS]


def _bad_repository(message: str) -> DomainError:
    return DomainError("bad_repository", message, 422)
