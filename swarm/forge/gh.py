"""GitHub through the program `gh`, where it is logged in and the node has no token."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any
from urllib.parse import quote, urlsplit

from swarm.clean_env import clean_environment
from swarm.forge.contract import Draft, Remark, Seen
from swarm.forge.failures import ForgeError
from swarm.forge.github_checks import judge
from swarm.forge.github_remarks import WRITING, Row, remarks_of
from swarm.forge.states import Checks, PullState

PROGRAM = "gh"
FIELDS = "number,url,state,headRefOid,headRefName,author"
# How the machine's owner is logged in, and reaches the host.
KEPT_PREFIXES = ("GH_", "GITHUB_TOKEN", "XDG_", "DBUS_", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_")
STATES = {"OPEN": PullState.OPEN, "MERGED": PullState.MERGED}
AUTH_NEEDED = 4  # the exit code of gh where it is not logged in


def is_installed() -> bool:
    """Tell whether `gh` is in the path."""
    return shutil.which(PROGRAM) is not None


class GhForge:
    """One repository at a GitHub, asked by `gh`."""

    def __init__(self, base_url: str, project: str, timeout_s: int) -> None:
        """Ask nothing yet."""
        self._host = urlsplit(base_url).hostname or ""
        self._project = project
        self._timeout_s = timeout_s

    def is_logged_in(self) -> bool:
        """Tell whether `gh` has an account at the host."""
        ended = self._start(["auth", "status", "--hostname", self._host], "")
        return ended.returncode == 0

    def find(self, head: str) -> Seen | None:
        """Return the pull request of a branch: an open one before one that has ended."""
        rows = self._json(
            *("pr", "list", *self._repo, "--head", head, "--state", "all"),
            *("--limit", "30", "--json", FIELDS),
        )
        found = [_seen(row) for row in rows if row["headRefName"] == head]
        found.sort(key=lambda seen: (seen.state != PullState.OPEN, -seen.number))
        return found[0] if found else None

    def open(self, draft: Draft) -> Seen:
        """Open a pull request."""
        self._run(
            [
                *("pr", "create", *self._repo, "--head", draft.head, "--base", draft.base),
                *("--title", draft.title, "--body-file", "-"),
            ],
            draft.body,
        )
        made = self.find(draft.head)
        if made is None:
            raise ForgeError("gh opened a pull request that it does not list", retryable=True)
        return made

    def update(self, number: int, draft: Draft) -> None:
        """Give a pull request this title and body."""
        args = ["pr", "edit", str(number), *self._repo, "--title", draft.title]
        self._run([*args, "--body-file", "-"], draft.body)

    def look(self, number: int) -> Seen:
        """Return a pull request with what its checks say."""
        row = self._json(
            *("pr", "view", str(number), *self._repo),
            *("--json", f"{FIELDS},statusCheckRollup"),
        )
        return _seen(row)

    def remarks(self, seen: Seen) -> list[Remark]:
        """Return the comments of others, oldest first."""
        return remarks_of(
            self._rows(f"pulls/{seen.number}/comments"),
            self._rows(f"issues/{seen.number}/comments"),
            self._rows(f"pulls/{seen.number}/reviews"),
            own=seen.author,
            may_write=self._may_write,
        )

    def merge(self, number: int, commit: str) -> None:
        """Merge a pull request whose head is exactly `commit`."""
        args = ["pr", "merge", str(number), *self._repo, "--merge", "--match-head-commit", commit]
        self._run(args, "")

    @property
    def _repo(self) -> tuple[str, str]:
        return ("--repo", f"{self._host}/{self._project}")

    def _rows(self, path: str) -> list[Row]:
        text = self._run(["api", "--hostname", self._host, "--paginate", self._path(path)], "")
        return _joined(text)

    def _may_write(self, login: str) -> bool:
        path = self._path(f"collaborators/{quote(login, safe='')}/permission")
        ended = self._start(["api", "--hostname", self._host, path], "")
        if ended.returncode != 0:
            return False
        return str(json.loads(ended.stdout).get("permission")) in WRITING

    def _path(self, rest: str) -> str:
        return f"repos/{self._project}/{rest}"

    def _json(self, *args: str) -> Any:
        text = self._run(list(args), "")
        try:
            return json.loads(text)
        except ValueError as error:
            message = f"gh {args[0]} {args[1]} printed no JSON: {text[:200]!r}"
            raise ForgeError(message, retryable=True) from error

    def _run(self, args: list[str], stdin: str) -> str:
        ended = self._start(args, stdin)
        if ended.returncode == 0:
            return ended.stdout
        said = (ended.stderr or ended.stdout).strip()[-500:]
        message = f"gh {args[0]} {args[1]} ended with {ended.returncode}: {said}"
        # It does not say what kind of failure it was: what an account lacks is the one known.
        raise ForgeError(message, retryable=ended.returncode != AUTH_NEEDED)

    def _start(self, args: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [PROGRAM, *args],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s * 2,  # a command may ask the host twice
                env=_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"gh {args[0]} {args[1]} ran longer than {self._timeout_s * 2} s"
            raise ForgeError(message, retryable=True) from error
        except OSError as error:
            raise ForgeError(f"gh cannot start: {error}", retryable=False) from error


def _environment() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name.startswith(KEPT_PREFIXES)}
    return clean_environment({**kept, "GH_PROMPT_DISABLED": "1", "NO_COLOR": "1"})


def _seen(row: Row) -> Seen:
    return Seen(
        number=int(row["number"]),
        url=str(row["url"]),
        state=STATES.get(str(row["state"]), PullState.CLOSED),
        head_commit=str(row["headRefOid"]),
        author=str((row.get("author") or {}).get("login", "")),
        checks=_judge_rollup(row.get("statusCheckRollup") or []),
    )


def _judge_rollup(rows: list[Row]) -> Checks:
    """Read check runs (status, conclusion) and commit statuses (state) of one list."""
    runs: list[tuple[str, str | None]] = []
    for row in rows:
        if "state" in row:
            state = str(row["state"]).lower()
            runs.append(("pending" if state in ("pending", "expected") else "completed", state))
        else:
            runs.append((str(row["status"]).lower(), str(row.get("conclusion") or "").lower()))
    return judge("", runs)


def _joined(text: str) -> list[Row]:
    """Read the pages that gh prints one after the other, each a list."""
    rows: list[Row] = []
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        try:
            page, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise ForgeError(f"gh api printed no JSON: {rest[:200]!r}", retryable=True) from error
        rows.extend(page)
        rest = rest[end:].strip()
    return rows
