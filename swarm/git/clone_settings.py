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


def apply_settings(clone: Path, url: str) -> None:
    """Set what is not, or no longer, set as it must be: agents can change the settings."""
    wanted = {**SETTINGS, "remote.origin.url": url}
    shown = run_git(["config", "--local", "--list", "-z"], cwd=clone).stdout
    entries = [entry.partition("\n") for entry in shown.split("\0") if entry]
    for name, value in wanted.items():
        if [found for key, _, found in entries if key == name] != [value]:
            run_git(["config", "--local", "--replace-all", name, value], cwd=clone)
