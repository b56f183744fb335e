"""GitHub's API through PyGithub; one request at a time, and no retries but those of our jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from github import Auth, BadAttributeException, Github, GithubException
from github.PullRequest import PullRequest as HubPull

from swarm.forge.contract import Draft, Remark, Seen
from swarm.forge.failures import ForgeError, refusal, unreachable
from swarm.forge.github_checks import judge
from swarm.forge.github_remarks import WRITING, Row, remarks_of
from swarm.forge.states import Checks, PullState

PAGE = 100
PAGES_MAX = 10
FOUND_MAX = 30
CLOUD_HOST = "github.com"
CLOUD_API = "https://api.github.com"


def api_url(base_url: str) -> str:
    """Return where the API of a GitHub is: the cloud's own host, or a path of one's own server."""
    return CLOUD_API if urlsplit(base_url).hostname == CLOUD_HOST else f"{base_url}/api/v3"


class GitHubForge:
    """One repository at a GitHub."""

    def __init__(self, base_url: str, project: str, token: str, timeout_s: int) -> None:
        """Ask nothing yet."""
        self._name = f"GitHub at {urlsplit(base_url).hostname}"
        self._project = project
        self._hub = Github(
            auth=Auth.Token(token),
            base_url=api_url(base_url),
            timeout=timeout_s,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            per_page=PAGE,
            lazy=True,
        )
        self._repository = self._hub.get_repo(project)

    def find(self, head: str) -> Seen | None:
        """Return the pull request of a branch: an open one before one that has ended."""
        owner = self._project.partition("/")[0]
        with self._asking("the search for a pull request"):
            rows = self._repository.get_pulls(state="all", head=f"{owner}:{head}")
            # A server that ignores the filter must not make us adopt somebody else's.
            found = [_seen(row) for row in islice(rows, FOUND_MAX) if row.head.ref == head]
        found.sort(key=lambda seen: (seen.state != PullState.OPEN, -seen.number))
        return found[0] if found else None

    def open(self, draft: Draft) -> Seen:
        """Open a pull request."""
        with self._asking("the opening of a pull request"):
            made = self._repository.create_pull(
                draft.base, draft.head, title=draft.title, body=draft.body
            )
            return _seen(made)

    def update(self, number: int, draft: Draft) -> None:
        """Give a pull request this title and body."""
        with self._asking(f"the update of pull request {number}"):
            self._repository.get_pull(number).edit(title=draft.title, body=draft.body)

    def look(self, number: int) -> Seen:
        """Return a pull request with what its checks say."""
        with self._asking(f"a look at pull request {number}"):
            seen = _seen(self._repository.get_pull(number))
        return _with_checks(seen, self._checks(seen.head_commit))

    def remarks(self, seen: Seen) -> list[Remark]:
        """Return the comments of others, oldest first."""
        pull, issue = f"pulls/{seen.number}", f"issues/{seen.number}"
        with self._asking(f"the comments of pull request {seen.number}"):
            return remarks_of(
                self._rows(f"{pull}/comments"),
                self._rows(f"{issue}/comments"),
                self._rows(f"{pull}/reviews"),
                own=seen.author,
                may_write=self._may_write,
            )

    def merge(self, number: int, commit: str) -> None:
        """Merge a pull request whose head is exactly `commit`."""
        with self._asking(f"the merge of pull request {number}"):
            self._repository.get_pull(number).merge(merge_method="merge", sha=commit)

    def _checks(self, commit: str) -> Checks:
        """Join commit statuses and check runs; unknown where the token may not read them."""
        try:
            with self._asking(f"the checks of {commit[:8]}"):
                at_commit = self._repository.get_commit(commit)
                combined = at_commit.get_combined_status()
                runs = [
                    (run.status, run.conclusion)
                    for run in islice(at_commit.get_check_runs(), PAGE * PAGES_MAX)
                ]
                statuses = combined.state if combined.total_count else ""
        except ForgeError as error:
            if error.status in (403, 404) and not error.retryable:
                return Checks.UNKNOWN
            raise
        return judge(statuses, runs)

    def _may_write(self, login: str) -> bool:
        path = f"/repos/{self._project}/collaborators/{quote(login, safe='')}/permission"
        try:
            _, answer = self._hub.requester.requestJsonAndCheck("GET", path)
        except GithubException as error:
            if error.status in (403, 404):
                return False  # who cannot be asked about is believed nothing
            raise
        return str(answer.get("permission")) in WRITING

    def _rows(self, path: str) -> list[Row]:
        rows: list[Row] = []
        for page in range(1, PAGES_MAX + 1):
            headers, data = self._hub.requester.requestJsonAndCheck(
                "GET",
                f"/repos/{self._project}/{path}",
                parameters={"per_page": PAGE, "page": page},
            )
            rows.extend(_list(data))
            if 'rel="next"' not in headers.get("link", ""):
                break
        return rows

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except GithubException as error:
            said = _said(error)
            raise refusal(self._name, doing, error.status, said, error.headers or {}) from error
        except requests.RequestException as error:
            raise unreachable(self._name, doing, error) from error
        except (BadAttributeException, AssertionError, KeyError, TypeError, ValueError) as error:
            message = f"{self._name} answered what cannot be read to {doing}: {error!r}"
            raise ForgeError(message, retryable=True) from error


def _seen(pull: HubPull) -> Seen:
    ended = PullState.MERGED if pull.merged_at else PullState.CLOSED
    return Seen(
        number=pull.number,
        url=pull.html_url,
        state=PullState.OPEN if pull.state == "open" else ended,
        head_commit=pull.head.sha,
        author=pull.user.login,
    )


def _with_checks(seen: Seen, checks: Checks) -> Seen:
    return Seen(seen.number, seen.url, seen.state, seen.head_commit, seen.author, checks)


def _list(data: Any) -> list[Row]:
    if not isinstance(data, list):
        raise ValueError(f"a list was expected, not {type(data).__name__}")
    return data


def _said(error: GithubException) -> str:
    """Return the message of an answer with the messages of its single errors."""
    data = error.data if isinstance(error.data, dict) else {}
    single = [
        str(each.get("message") or each.get("code") or "") if isinstance(each, dict) else str(each)
        for each in data.get("errors") or []
    ]
    return ": ".join(filter(None, [str(data.get("message") or error.message or ""), *single]))
