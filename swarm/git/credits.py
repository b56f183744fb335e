"""Who wrote what a merge brings in: trailers that forges count as co-authorship."""

from __future__ import annotations

from swarm.git.merging import AUTHOR_EMAIL
from swarm.git.repository import Repository

AUTHORS_MAX = 20
COMMITS_READ_MAX = 500
TRAILER = "Co-authored-by"


def credited(repo: Repository, head: str, commit: str, message: str) -> str:
    """Return `message` with the trailers of the commits that it merges.

    A message of several paragraphs ends with trailers already; these are added to them.

    Each author and co-author of what `commit` adds to `head` is named once, oldest first.
    """
    lines = [f"{TRAILER}: {author}" for author in _authors(repo, head, commit)]
    apart = "" if "\n\n" in message else "\n"
    return "\n".join([message + apart, *lines]) if lines else message


def _authors(repo: Repository, head: str, commit: str) -> list[str]:
    trailers = f"%(trailers:key={TRAILER},valueonly,unfold)"
    shown = repo.git(
        "log",
        "--no-mailmap",
        f"--max-count={COMMITS_READ_MAX}",
        f"--format=%an <%ae>%n{trailers}",
        f"{head}..{commit}",
    ).stdout
    names = dict.fromkeys(line.strip() for line in reversed(shown.splitlines()))
    return [name for name in names if name.endswith(">") and AUTHOR_EMAIL not in name][:AUTHORS_MAX]
