"""What a clone of ours is set to, so that nothing an agent runs in it deletes a commit."""

from __future__ import annotations

from pathlib import Path

from swarm.git.command import run_git

# Never a mirror: its prune deletes the task branches that nobody has pushed yet.
FETCH_REFSPEC = "+refs/heads/*:refs/remotes/origin/*"
SETTINGS = {
    "core.logallrefupdates": "always",
    # `git gc --prune=now`, `git prune` and `git repack -d` of an agent then delete no object.
    "extensions.preciousobjects": "true",
    "fetch.unpacklimit": "1",  # loose commits are those that were made here, and no others
    "gc.auto": "0",
    "gc.pruneexpire": "never",
    "gc.reflogexpire": "never",
    "gc.reflogexpireunreachable": "never",
    "gc.worktreepruneexpire": "never",
    "maintenance.auto": "false",
    "push.default": "current",
    "remote.origin.fetch": FETCH_REFSPEC,
}


_Look = tuple[str, int, int, int, int]
# What each clone's file of settings looked like when it was last found to be right.
_right: dict[Path, _Look | None] = {}


def apply_settings(clone: Path, url: str) -> None:
    """Set what is not, or no longer, set as it must be: agents can change the settings.

    A file that was not written since it was found to be right is not read again.
    """
    look = _look(clone, url)
    if look is not None and _right.get(clone) == look:
        return
    if _correct(clone, {**SETTINGS, "remote.origin.url": url}):
        return  # read again the next time: it was we who wrote it, or an agent in between
    _right[clone] = look


def _correct(clone: Path, wanted: dict[str, str]) -> bool:
    """Set what differs from `wanted`; tell whether anything did."""
    shown = run_git(["config", "--local", "--list", "-z"], cwd=clone).stdout
    entries = [entry.partition("\n") for entry in shown.split("\0") if entry]
    wrong = [
        name
        for name, value in wanted.items()
        if [found for key, _, found in entries if key == name] != [value]
    ]
    for name in wrong:
        run_git(["config", "--local", "--replace-all", name, wanted[name]], cwd=clone)
    return bool(wrong)


def _look(clone: Path, url: str) -> _Look | None:
    try:
        stat = (clone / "config").stat()
    except OSError:
        return None  # git says what is wrong with it
    # No program can set the time of a change (ctime) back, as it can that of a modification.
    return (url, stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns)
