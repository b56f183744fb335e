"""The demo's project: a small Python package with tests, in a bare remote of its own."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swarm.clean_env import clean_environment
from swarm.git.command import run_git
from swarm.git.merging import identity_environment

TEST_COMMAND = "python3 -m unittest discover -q"
BASE_BRANCH = "main"
TEST_TIMEOUT_S = 60.0
OUTPUT_CHARS_MAX = 4_000
# The user's own git configuration must not change the story.
HERMETIC_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
SAMPLE = "0,20.5\n60,21.0\n120,22.5\n180,21.0\n420,19.0\n480,20.0\n"

_AUTHOR = identity_environment("Mission Control <control@mission.invalid>")
_TESTS_RAN = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
_FILES = {
    "README.md": "# telemetry\n\nReadings of a space probe, and soon a report of them.\n",
    ".gitignore": "__pycache__/\n",
    "telemetry/__init__.py": (
        '"""Readings of a space probe."""\n\n'
        "from collections import namedtuple\n\n"
        'Reading = namedtuple("Reading", "second value")\n'
    ),
    "tests/__init__.py": "",
    "tests/test_reading.py": (
        "import unittest\n\n"
        "from telemetry import Reading\n\n\n"
        "class ReadingTest(unittest.TestCase):\n"
        "    def test_has_a_second_and_a_value(self):\n"
        "        self.assertEqual(Reading(60, 1.5), (60, 1.5))\n"
    ),
}


@dataclass(frozen=True)
class TestResult:
    """What the project's test suite said at one commit."""

    __test__ = False  # not a pytest class

    command: str
    commit: str
    exit_code: int
    tests_ran: int
    output: str

    @property
    def green(self) -> bool:
        """Whether the suite passed and was not empty."""
        return self.exit_code == 0 and self.tests_ran > 0


@dataclass(frozen=True)
class Remote:
    """The bare repository that buyer and sellers share."""

    path: Path
    base_commit: str

    def branches(self) -> dict[str, str]:
        """Return every branch with its commit."""
        shown = self._git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")
        pairs = (line.rpartition(" ") for line in shown.splitlines())
        return {name: commit for name, _, commit in pairs}

    def log(self, commit: str) -> list[dict[str, str]]:
        """Return the commits on top of the base, newest first, with author and subject."""
        shown = self._git("log", "--format=%H%x00%an%x00%s", f"{self.base_commit}..{commit}")
        rows = (line.split("\0") for line in shown.splitlines())
        return [{"commit": c, "author": author, "subject": s} for c, author, s in rows]

    def merges(self, commit: str) -> list[str]:
        """Return what each merge on the first-parent way from the base brought in, oldest first."""
        way = f"{self.base_commit}..{commit}"
        shown = self._git("log", "--first-parent", "--merges", "--reverse", "--format=%P", way)
        return [parent for line in shown.splitlines() for parent in line.split()[1:]]

    def message_at(self, ref: str) -> str:
        """Return the message of the commit that a ref names; empty where there is no such ref."""
        args = ("log", "-1", "--format=%B", ref, "--")
        return run_git(args, cwd=self.path, env_extra=HERMETIC_GIT, check=False).stdout.strip()

    def is_kept(self, commit: str) -> bool:
        """Tell whether a commit is part of anything that a ref of the remote names."""
        args = ("for-each-ref", "--count=1", f"--contains={commit}", "--format=%(refname)")
        done = run_git(args, cwd=self.path, env_extra=HERMETIC_GIT, check=False)
        return done.code == 0 and bool(done.stdout.strip())

    def text_at(self, commit: str, path: str) -> str:
        """Return a file as a commit has it; empty where it has none."""
        args = ("show", f"{commit}:{path}")
        return run_git(args, cwd=self.path, env_extra=HERMETIC_GIT, check=False).stdout

    def contains(self, commit: str, ancestor: str) -> bool:
        """Tell whether `ancestor` is part of the history of `commit`."""
        args = ("merge-base", "--is-ancestor", ancestor, commit)
        return run_git(args, cwd=self.path, env_extra=HERMETIC_GIT, check=False).code == 0

    def clone(self, branch: str, folder: Path) -> str:
        """Clone a branch as anybody would and return the commit that is checked out."""
        args = ("clone", "-q", "--branch", branch, str(self.path), str(folder))
        run_git(args, env_extra=HERMETIC_GIT)
        head = run_git(("rev-parse", "HEAD"), cwd=folder, env_extra=HERMETIC_GIT)
        return head.stdout.strip()

    def _git(self, *args: str) -> str:
        return run_git(args, cwd=self.path, env_extra=HERMETIC_GIT).stdout


def create_remote(folder: Path) -> Remote:
    """Make the project with its first commit and push it to a new bare remote."""
    path, work = folder / "telemetry.git", folder / "telemetry"
    for args in (("--bare", str(path)), (str(work),)):
        run_git(("init", "-q", f"--initial-branch={BASE_BRANCH}", *args), env_extra=HERMETIC_GIT)
    for name, text in _FILES.items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    env = {**HERMETIC_GIT, **_AUTHOR}
    run_git(("add", "-A"), cwd=work, env_extra=env)
    run_git(("commit", "-q", "-m", "Describe a reading"), cwd=work, env_extra=env)
    run_git(("push", "-q", str(path), BASE_BRANCH), cwd=work, env_extra=env)
    head = run_git(("rev-parse", "HEAD"), cwd=work, env_extra=env).stdout.strip()
    return Remote(path, head)


def run_tests(folder: Path, commit: str) -> TestResult:
    """Run the project's test suite in a clone that stands at `commit`."""
    done = _run(TEST_COMMAND.split(), folder)
    ran = _TESTS_RAN.search(done.stdout)
    return TestResult(
        command=TEST_COMMAND,
        commit=commit,
        exit_code=done.returncode,
        tests_ran=int(ran[1]) if ran else 0,
        output=done.stdout[-OUTPUT_CHARS_MAX:],
    )


def run_product(folder: Path) -> str:
    """Use what the agents built on sample readings; returns what it prints, also its errors."""
    sample = folder / "probe.csv"
    sample.write_text(SAMPLE, "utf-8")
    done = _run(["python3", "-m", "telemetry", str(sample)], folder)
    return done.stdout.strip()[-OUTPUT_CHARS_MAX:]


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TEST_TIMEOUT_S,
        check=False,
    )
