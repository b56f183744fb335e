"""A bare remote on disk, and somebody else who pushes to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swarm.git.command import run_git
from swarm.git.merging import identity_environment

IDENTITY = identity_environment("Test <test@example.invalid>")


class GitRemote:
    """A bare repository on disk and an ordinary clone through which a stranger changes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "remote.git"
        self._work = folder / "stranger"
        # Without the sample hooks and the like that git copies into each new repository.
        begin = ["init", "-q", "--template=", "--initial-branch=main"]
        run_git([*begin, "--bare", str(self.path)])
        run_git([*begin, str(self._work)])
        (self.path / "hooks").mkdir()

    def push(self, branch: str, files: Mapping[str, str | None], start: str | None = None) -> str:
        """Commit `files` (None deletes) on top of `start`, push it to `branch`; its commit id."""
        if start is not None:
            run_git(["fetch", "-q", str(self.path), "+refs/heads/*:refs/seen/*"], cwd=self._work)
            run_git(["reset", "-q", "--hard", start], cwd=self._work)
        for name, text in files.items():
            path = self._work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        run_git(["add", "-A"], cwd=self._work)
        run_git(["commit", "-qm", f"change {branch}"], cwd=self._work, env_extra=IDENTITY)
        run_git(["push", "-qf", str(self.path), f"HEAD:refs/heads/{branch}"], cwd=self._work)
        return run_git(["rev-parse", "HEAD"], cwd=self._work).stdout.strip()

    def text(self, commit: str, name: str) -> str:
        """The text of a file at a commit."""
        return run_git(["show", f"{commit}:{name}"], cwd=self.path).stdout

    def refs(self) -> dict[str, str]:
        """Every ref of the remote and its commit."""
        shown = run_git(["for-each-ref", "--format=%(refname) %(objectname)"], cwd=self.path)
        return dict(line.split(" ") for line in shown.stdout.splitlines())
