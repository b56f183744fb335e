"""What merging a commit changes, as its reviewer is shown it: bounded."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.protocol.limits import REVIEW_DIFF_CHARS_MAX, REVIEW_PATHS_MAX
from swarm.git.repository import Repository

# What the repository says of its own files must neither run a program nor hide a change.
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")


@dataclass(frozen=True, slots=True)
class Changes:
    """The head of a diff, the length (characters) of the whole one, and the paths it is about."""

    diff: str
    diff_chars: int
    paths: list[str]


def changes_between(repository: Repository, start: str, head: str) -> Changes:
    """Return what turns `start` into `head`, two commits of the clone."""
    diff = repository.git("diff", *_PLAIN, start, head).stdout.replace("\0", "\ufffd")
    named = repository.git("diff", "--name-only", "--no-renames", "-z", start, head).stdout
    paths = named.split("\0")[:-1][:REVIEW_PATHS_MAX]
    return Changes(diff[:REVIEW_DIFF_CHARS_MAX], len(diff), paths)
