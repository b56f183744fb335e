"""The calls of GitLab's REST API that are used, with its paths, codes, headers and errors."""

from __future__ import annotations

import re
from typing import Any

from tests.support.forge_server.state import OWN, PROJECT, TOKEN, Answer, Comment, ForgeState, Pull

ROOT = f"/api/v4/projects/{PROJECT}"
Query = dict[str, str]


class GitLabApi:
    """Answers requests below /api/v4."""

    def __init__(self, state: ForgeState, base_url: str) -> None:
        self.state = state
        self.base_url = base_url
        self.people = [OWN, "grace", "mallory"]

    def answer(
        self, method: str, path: str, query: Query, body: Any, headers: dict[str, str]
    ) -> Answer:
        """Answer one request."""
        if headers.get("private-token") != TOKEN:
            return Answer(401, {"message": "401 Unauthorized"})
        for verb, pattern, handle in (
            ("GET", r"/merge_requests", self._list),
            ("POST", r"/merge_requests", self._create),
            ("GET", r"/merge_requests/(\d+)", self._show),
            ("PUT", r"/merge_requests/(\d+)", self._edit),
            ("PUT", r"/merge_requests/(\d+)/merge", self._merge),
            ("GET", r"/merge_requests/(\d+)/discussions", self._discussions),
            ("GET", r"/members/all/(\d+)", self._member),
        ):
            match = re.fullmatch(re.escape(ROOT) + pattern, path)
            if match and verb == method:
                answer: Answer = handle(match, query, body)
                return answer
        return Answer(404, {"message": "404 Project Not Found"})

    def _list(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        head = query.get("source_branch")
        found = [pull for pull in self.state.pulls if head in (None, pull.head)]
        rows = [self._pull(pull) for pull in reversed(found)]
        return self._page(
            [{k: v for k, v in r.items() if k != "head_pipeline"} for r in rows], query
        )

    def _create(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        head = body["source_branch"]
        if f"refs/heads/{head}" not in self.state.branches():
            return Answer(400, {"message": {"source_branch": ["does not exist"]}})
        for pull in self.state.pulls:
            if pull.head == head and pull.state == "open":
                said = (
                    "Another open merge request already exists for this source branch: "
                    f"!{pull.number}"
                )
                return Answer(409, {"message": [said]})
        made = self.state.add_pull(head, body["target_branch"], body["title"], body["description"])
        return Answer(201, self._pull(made))

    def _show(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        return Answer(200, self._pull(pull)) if pull else Answer(404, {"message": "404 Not found"})

    def _edit(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        assert pull is not None
        pull.title, pull.body = body["title"], body["description"]
        return Answer(200, self._pull(pull))

    def _merge(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        assert pull is not None
        head = self.state.head_of(pull)
        if query.get("sha") != head:
            return Answer(409, {"message": f"SHA does not match HEAD of source branch: {head}"})
        if not self.state.mergeable:
            return Answer(405, {"message": "405 Method Not Allowed"})
        pull.state = "merged"
        return Answer(200, self._pull(pull))

    def _discussions(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        threads: dict[int, list[Comment]] = {}
        for comment in self.state.comments:
            threads.setdefault(comment.parent or comment.id, []).append(comment)
        rows = [
            {"id": f"{thread:040x}", "notes": [self._note(each) for each in comments]}
            for thread, comments in threads.items()
        ]
        return self._page(rows, query)

    def _member(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        name = self.people[int(match[1])]
        if name in self.state.outsiders:
            return Answer(404, {"message": "404 Not found"})
        level = 40 if name in self.state.writers else 20
        return Answer(200, {"id": int(match[1]), "username": name, "access_level": level})

    def _pull(self, pull: Pull) -> dict[str, Any]:
        pipeline = {"id": 1, "status": self.state.pipeline} if self.state.pipeline else None
        return {
            "id": 10_000 + pull.number,
            "iid": pull.number,
            "project_id": 5,
            "web_url": f"{self.base_url}/{PROJECT}/-/merge_requests/{pull.number}",
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "title": pull.title,
            "description": pull.body,
            "source_branch": pull.head,
            "target_branch": pull.base,
            "sha": self.state.head_of(pull),
            "author": {"id": 0, "username": OWN},
            "head_pipeline": pipeline,
        }

    def _note(self, comment: Comment) -> dict[str, Any]:
        position = {"new_path": comment.path, "new_line": comment.line} if comment.path else None
        return {
            "id": comment.id,
            "type": "DiffNote" if position else None,
            "body": comment.body,
            "author": {"id": self.people.index(comment.author), "username": comment.author},
            "created_at": comment.at,
            "system": False,
            "resolvable": bool(position),
            "resolved": comment.resolved,
            **({"position": position} if position else {}),
        }

    def _page(self, rows: list[Any], query: Query) -> Answer:
        size, page = min(100, int(query.get("per_page", 20))), int(query.get("page", 1))
        more = len(rows) > page * size
        headers = {
            "X-Page": str(page),
            "X-Per-Page": str(size),
            "X-Next-Page": str(page + 1) if more else "",
        }
        if more:
            further = "&".join(f"{k}={v}" for k, v in {**query, "page": str(page + 1)}.items())
            path = ROOT.replace(PROJECT, PROJECT.replace("/", "%2F"))
            headers["Link"] = (
                f'<{self.base_url}{path}/merge_requests/7/discussions?{further}>; rel="next"'
            )
        return Answer(200, rows[(page - 1) * size : page * size], headers)
