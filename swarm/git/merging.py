"""Merges without a checkout: a forecast of the tree, and the commit made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from swarm.git.command import GitResult, git_failure, run_git

AUTHOR_EMAIL = "gate@voidlux.invalid"
GATE_AUTHOR = f"VoidLux gate <{AUTHOR_EMAIL}>"
CONFLICTS_MAX = 200
DETAIL_CHARS_MAX = 4_000

_AUTHOR = re.compile(r"(?P<name>[^<>\n]*?)\s*<(?P<email>[^<>\n]+)>")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What merging would give: a tree where it is clean, else the paths in conflict and why.

    `contained` tells that there is nothing to merge.
    """

    tree: str
    conflicts: list[str]
    detail: str
    contained: bool = False

    @property
    def clean(self) -> bool:
        """Tell whether the merge goes through."""
        return bool(self.tree)


def identity_environment(author: str, date: str = "") -> dict[str, str]:
    """Return the variables that make `author` ("Name <mail>") author and committer at `date`."""
    match = _AUTHOR.fullmatch(author.strip())
    name = (match["name"] if match else author.strip()) or "VoidLux"
    email = match["email"] if match else "agent@voidlux.invalid"
    variables: dict[str, str] = {}
    for part in ("AUTHOR", "COMMITTER"):
        variables |= {f"GIT_{part}_NAME": name, f"GIT_{part}_EMAIL": email}
        variables |= {f"GIT_{part}_DATE": date} if date else {}
    return variables


def forecast_merge(cwd: Path, ours: str, theirs: str) -> Forecast:
    """Merge two commits of the repository at `cwd` on paper; nothing there changes."""
    base = run_git(["merge-base", ours, theirs], cwd=cwd, check=False)
    if base.code == 1:
        return Forecast("", [], f"{theirs} shares no history with {ours}")
    contained = base.stdout.strip() == theirs
    args = ["merge-tree", "--write-tree", "-z", "--name-only", ours, theirs]
    result = run_git(args, cwd=cwd, check=False)
    if result.code == 0:
        return Forecast(result.stdout.split("\0")[0].strip(), [], "", contained)
    if result.code != 1:
        raise git_failure(args, result)
    return _conflicts(result)


def commit_merge(
    cwd: Path, tree: str, parents: tuple[str, str], message: str, *, author: str, date: str = ""
) -> str:
    """Write the merge commit of `tree` and return its id; no ref moves."""
    args = ["commit-tree", tree, "-p", parents[0], "-p", parents[1], "-m", message]
    environment = identity_environment(author, date)
    return run_git(args, cwd=cwd, env_extra=environment).stdout.strip()


def latest_date(cwd: Path, commits: tuple[str, str]) -> str:
    """Return the later commit date of two commits, in the form that git takes dates."""
    shown = run_git(["show", "--no-patch", "--format=%ct", *commits], cwd=cwd).stdout.split()
    return f"@{max(int(seconds) for seconds in shown)} +0000"


def _conflicts(result: GitResult) -> Forecast:
    # <tree> NUL (<path> NUL)* NUL, then the notes
    paths, _, notes = result.stdout.partition("\0")[2].partition("\0\0")
    detail = "\n".join(_conflict_notes(notes)) or "the merge conflicts"
    return Forecast("", paths.split("\0")[:CONFLICTS_MAX], detail[:DETAIL_CHARS_MAX])


def _conflict_notes(notes: str) -> list[str]:
    # each note: <number of paths> NUL (<path> NUL)* <kind> NUL <message> NUL
    fields = notes.split("\0")
    found, at = [], 0
    while at < len(fields) and fields[at].isdigit():
        kind_at = at + 1 + int(fields[at])
        kind, message = [*fields[kind_at : kind_at + 2], "", ""][:2]
        if kind.startswith("CONFLICT"):
            found.append(message.strip())
        at = kind_at + 2
    return found
