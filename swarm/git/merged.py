"""What the gate has merged into an integration branch, read from its commits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarm.git.merging import GATE_AUTHOR
from swarm.git.repository import Repository

_OF_ATTEMPT = re.compile(r"Merge (?P<branch>task/[0-9a-f]{8}(?:-[1-9][0-9]*)?): ")
_FIELDS = "%H%x00%P%x00%an <%ae>%x00%s"
_PARENTS = 2


@dataclass(frozen=True, slots=True)
class GateMerge:
    """One merge by the gate: itself, and the commit and the attempt branch that it brought in."""

    commit: str
    merged: str
    branch: str


def gate_merges(repo: Repository, since: str, head: str) -> list[GateMerge]:
    """Return the gate's merges of attempts from `since`, which `head` contains, oldest first.

    Only the branch itself is walked, not what was merged into it: whoever wrote that may have
    written anything.
    """
    args = ("log", "--no-mailmap", "--first-parent", "--reverse", f"--format={_FIELDS}")
    lines = repo.git(*args, f"{since}..{head}").stdout.splitlines()
    return [found for line in lines if (found := _merge_in(line)) is not None]


def _merge_in(line: str) -> GateMerge | None:
    fields = line.split("\0")
    if len(fields) != _FIELDS.count("%x00") + 1:
        return None  # agents may change the clone's configuration, which may add lines
    commit, parents, author, subject = fields
    merged = parents.split()
    match = _OF_ATTEMPT.match(subject)
    if len(merged) != _PARENTS or author != GATE_AUTHOR or match is None:
        return None
    return GateMerge(commit, merged[1], match["branch"])
