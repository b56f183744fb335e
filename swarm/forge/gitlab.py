"""GitLab's API through python-gitlab; merge requests are pull requests here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import requests
from gitlab import Gitlab, GitlabError

from swarm.forge.contract import Draft, Remark, Seen
from swarm.forge.failures import ForgeError, refusal, unreachable
from swarm.forge.states import Checks, PullState

PAGE = 100
DISCUSSIONS_MAX = 1_000
DEVELOPER = 30  # the lowest access level that may push
PENDING = frozenset(
    {"created", "waiting_for_resource", "preparing", "pending", "running", "scheduled", "manual"}
)
STATES = {"merged": PullState.MERGED, "closed": PullState.CLOSED}


class _Patient(Gitlab):
    """A client that leaves waiting to our jobs, where it can be seen."""

    def http_request(self, verb: str, path: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Ask once."""
        return super().http_request(verb, path, *args, **{**kwargs, "obey_rate_limit": False})


class GitLabForge:
    """One project at a GitLab."""

    def __init__(self, base_url: str, project: str, token: str, timeout_s: int) -> None:
        """Ask nothing yet."""
        self._name = f"GitLab at {urlsplit(base_url).hostname}"
        self._headers: dict[str, str] = {}
        session = requests.Session()
        session.hooks["response"].append(self._keep_headers)
        self._lab = _Patient(
            base_url,
            private_token=token,
            timeout=timeout_s,
            session=session,
            per_page=PAGE,
            retry_transient_errors=False,
        )
        self._project = self._lab.projects.get(project, lazy=True)

    def find(self, head: str) -> Seen | None:
        """Return the merge request of a branch: an open one before one that has ended."""
        with self._asking("the search for a merge request"):
            rows = self._project.mergerequests.list(source_branch=head, state="all", get_all=False)
            found = [_seen(row) for row in rows if row.source_branch == head]
        found.sort(key=lambda seen: (seen.state != PullState.OPEN, -seen.number))
        return found[0] if found else None

    def open(self, draft: Draft) -> Seen:
        """Open a merge request."""
        with self._asking("the opening of a merge request"):
            made = self._project.mergerequests.create(
                {
                    "source_branch": draft.head,
                    "target_branch": draft.base,
                    "title": draft.title,
                    "description": draft.body,
                }
            )
            return _seen(made)

    def update(self, number: int, draft: Draft) -> None:
        """Give a merge request this title and description."""
        with self._asking(f"the update of merge request {number}"):
            self._project.mergerequests.update(
                number, {"title": draft.title, "description": draft.body}
            )

    def look(self, number: int) -> Seen:
        """Return a merge request with what the pipeline of its head says."""
        with self._asking(f"a look at merge request {number}"):
            return _seen(self._project.mergerequests.get(number))

    def remarks(self, seen: Seen) -> list[Remark]:
        """Return the comments of others in discussions that are not resolved, oldest first."""
        with self._asking(f"the comments of merge request {seen.number}"):
            merge_request = self._project.mergerequests.get(seen.number, lazy=True)
            discussions = islice(merge_request.discussions.list(iterator=True), DISCUSSIONS_MAX)
            known: dict[int, bool] = {}
            found = [
                _remark(discussion.id, note, self._may_write(note["author"]["id"], known))
                for discussion in discussions
                for note in discussion.attributes["notes"]
                if not note.get("system")
                and not note.get("resolved")
                and note["author"]["username"] != seen.author
            ]
        return sorted(found, key=lambda remark: remark.written_at)

    def merge(self, number: int, commit: str) -> None:
        """Merge a merge request whose head is exactly `commit`."""
        with self._asking(f"the merge of merge request {number}"):
            self._project.mergerequests.get(number, lazy=True).merge(sha=commit)

    def _may_write(self, user_id: int, known: dict[int, bool]) -> bool:
        if user_id not in known:
            try:
                member = self._project.members_all.get(user_id)
                known[user_id] = int(member.access_level) >= DEVELOPER
            except GitlabError as error:
                if error.response_code not in (403, 404):
                    raise
                known[user_id] = False
        return known[user_id]

    def _keep_headers(self, response: requests.Response, *_: Any, **__: Any) -> None:
        # The library's errors do not carry them, and they say how long to wait.
        self._headers = dict(response.headers)

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except GitlabError as error:
            said, status = _said(error), error.response_code
            if status is None or status < 300:
                message = f"{self._name} answered what cannot be read to {doing}: {said}"
                raise ForgeError(message, retryable=True) from error
            raise refusal(self._name, doing, status, said, self._headers) from error
        except requests.RequestException as error:
            raise unreachable(self._name, doing, error) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"{self._name} answered what cannot be read to {doing}: {error!r}"
            raise ForgeError(message, retryable=True) from error


def _seen(merge_request: Any) -> Seen:
    pipeline = merge_request.attributes.get("head_pipeline") or {}
    return Seen(
        number=merge_request.iid,
        url=merge_request.web_url,
        state=STATES.get(merge_request.state, PullState.OPEN),  # `locked` is while it merges
        head_commit=merge_request.sha or "",
        author=merge_request.author["username"],
        checks=_judge(pipeline.get("status")),
    )


def _judge(pipeline: str | None) -> Checks:
    if pipeline is None:
        return Checks.NONE
    if pipeline in PENDING:
        return Checks.PENDING
    return Checks.GREEN if pipeline in ("success", "skipped") else Checks.RED


def _remark(thread: str, note: dict[str, Any], may_steer: bool) -> Remark:
    position = note.get("position") or {}
    return Remark(
        forge_id=f"note-{note['id']}",
        thread=f"discussion-{thread}",
        author=note["author"]["username"],
        may_steer=may_steer,
        body=note["body"],
        written_at=datetime.fromisoformat(note["created_at"].replace("Z", "+00:00")),
        path=position.get("new_path") or position.get("old_path") or "",
        line=position.get("new_line") or position.get("old_line"),
    )


def _said(error: GitlabError) -> str:
    said: Any = error.error_message
    if isinstance(said, list):
        return "; ".join(map(str, said))
    return str(said)
