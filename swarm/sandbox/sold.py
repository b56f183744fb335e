"""The sandbox of one run of sold work: what it may see and write, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from p2p.local import local_node
from swarm.sandbox import bwrap
from swarm.sandbox.bwrap import read_only

HOME_DEFAULT = Path("/home/agent")
# Of a cell, which is the folder with what a run has for itself.
GIT, CONFIG, HOME, COPIES, OUT = "git", "git-config", "home", "copies", "out"
SHARED = "shared"  # where the private repository shows the objects of the clone


@dataclass(frozen=True, slots=True)
class SoldSandbox:
    """A run's place: its worktree, its cell, and the clone whose repository the cell stands for.

    `run_dir` and `shown` can be read, `written` are files of the run directory that it writes,
    and `copies` pairs of (what is shown, at which path), also to write.
    """

    worktree: Path
    clone: Path
    cell: Path
    run_dir: Path
    network: bool
    shown: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    copies: tuple[tuple[Path, Path], ...] = ()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` inside."""
        return [
            *bwrap.system(network=self.network),
            *self._beside_the_node(),
            *self._checkout(),
            *("--ro-bind", str(self.run_dir), str(self.run_dir)),
            *("--tmpfs", str(self.cell)),
            *(word for path in self.written for word in _writable(path, path)),
            *(word for source, path in self.copies for word in _writable(source, path)),
            *("--setenv", "HOME", str(home_inside()), "--setenv", "TMPDIR", "/tmp"),
            *("--chdir", str(self.worktree), "--", *argv),
        ]

    def wrap_git(self, argv: Sequence[str]) -> list[str]:
        """Return the command line for the node's own git after the run.

        It has no network and may write to `out`; of a home and what is shown it sees nothing.
        """
        out = self.cell / OUT
        return [
            *bwrap.system(network=False, files=bwrap.FILES_OF_GIT),
            *("--tmpfs", str(local_node().home.resolve())),  # where a system folder holds it
            *self._checkout(),
            *_writable(out, out),
            *("--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp"),
            *("--chdir", str(self.worktree), "--", *argv),
        ]

    def _beside_the_node(self) -> list[str]:
        """Mount a home and what is shown; of the node's home, and of its owner's, nothing is."""
        node_home, home = local_node().home.resolve(), home_inside()
        shown = (*_interpreter(), *settings.ENVIRONMENT.sold_sandbox_paths, *self.shown)
        shown = tuple(path for path in shown if _may_be_shown(path, node_home))
        covers = (home, node_home)
        mounts = [(path, read_only([path])) for path in shown if not _is_seen(path, shown, covers)]
        mounts.append((home, _writable(self.cell / HOME, home)))
        mounts.append((node_home, ["--tmpfs", str(node_home)]))
        # What lies inside of another one has to be mounted after that.
        mounts.sort(key=lambda mount: len(mount[0].parts))
        return [word for _, words in mounts for word in words]

    def _checkout(self) -> list[str]:
        """Mount worktree and repository: the cell's own, which is shown the clone's objects."""
        exclude = str(self.clone / "info" / "exclude")
        return [
            *_writable(self.cell / GIT, self.clone),
            *("--ro-bind", str(self.cell / CONFIG), str(self.clone / "config")),
            *("--ro-bind", str(self.clone / "objects"), str(self.clone / SHARED)),
            *("--ro-bind-try", exclude, exclude),
            *_writable(self.worktree, self.worktree),
            *("--ro-bind", str(self.worktree / ".git"), str(self.worktree / ".git")),
        ]


def home_inside() -> Path:
    """Return the path of the home that a run has for itself: that of the owner's own home.

    So programs find the copies of their settings. Another one where that path cannot be used.
    """
    home = Path(os.environ.get("HOME", ""))
    taken = (*bwrap.SYSTEM_FOLDERS, "/etc", "/proc", "/dev", "/run", local_node().home.resolve())
    if not home.is_absolute() or home == Path("/"):
        return HOME_DEFAULT
    if any(home.is_relative_to(folder) for folder in taken):
        return HOME_DEFAULT
    return home


def _interpreter() -> tuple[Path, ...]:
    """Return what our own Python needs, which a block speaks to its node with."""
    return tuple(dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix))))


def _may_be_shown(path: Path, node_home: Path) -> bool:
    """Tell whether a path leads neither into the node's home nor, by a link, around its cover."""
    real = path.resolve()
    if path.is_relative_to(node_home) or real.is_relative_to(node_home):
        return False
    return real == path or not node_home.is_relative_to(real)


def _is_seen(path: Path, shown: Sequence[Path], covers: Sequence[Path]) -> bool:
    """Tell whether a path is seen in what is shown anyway: a link cannot be mounted upon."""
    folders = (*(Path(folder) for folder in bwrap.SYSTEM_FOLDERS), *shown)
    for folder in folders:
        if folder != path and path.is_relative_to(folder):
            between = (each for each in covers if each.is_relative_to(folder))
            if not any(path.is_relative_to(each) for each in between):
                return True
    return False


def _writable(source: Path, path: Path) -> list[str]:
    return ["--bind", str(source), str(path)]
