"""The calls of GitHub's REST API that are used, with its paths, codes, headers and errors."""

from __future__ import annotations

import re
from typing import Any

from tests.support.forge_server.state import OWN, PROJECT, TOKEN, Answer, Comment, ForgeState, Pull

ROOT = f"/api/v3/repos/{PROJECT}"
Query = dict[str, str]


class GitHubApi:
    """Answers requests below /api/v3."""

    def __init__(self, state: ForgeState, base_url: str) -> None:
        self.state = state
        self.base_url = base_url

    def answer(
        self, method: str, path: str, query: Query, body: Any, headers: dict[str, str]
    ) -> Answer:
        """Answer one request."""
        if headers.get("authorization") != f"token {TOKEN}":
            return Answer(401, {"message": "Bad credentials", "documentation_url": "https://docs"})
        for verb, pattern, handle in (
            ("GET", r"/pulls", self._list),
            ("POST", r"/pulls", self._create),
            ("GET", r"/pulls/(\d+)", self._show),
            ("PATCH", r"/pulls/(\d+)", self._edit),
            ("PUT", r"/pulls/(\d+)/merge", self._merge),
            ("GET", r"/pulls/(\d+)/(comments|reviews)", self._comments),
            ("GET", r"/issues/(\d+)/(comments)", self._general),
            ("GET", r"/commits/([0-9a-f]{40})/status", self._status),
            ("GET", r"/commits/([0-9a-f]{40})/check-runs", self._runs),
            ("GET", r"/collaborators/([^/]+)/permission", self._permission),
        ):
            match = re.fullmatch(re.escape(ROOT) + pattern, path)
            if match and verb == method:
                answer: Answer = handle(match, query, body)
                return answer
        return Answer(404, {"message": "Not Found", "status": "404"})

    def _list(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        head = query.get("head", "").partition(":")[2]
        found = [pull for pull in self.state.pulls if not head or pull.head == head]
        return self._page([self._pull(pull) for pull in reversed(found)], f"{ROOT}/pulls", query)

    def _create(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        branches = self.state.branches()
        head = branches.get(f"refs/heads/{body['head']}")
        if head is None:
            return _invalid({"resource": "PullRequest", "field": "head", "code": "invalid"})
        if head == branches.get(f"refs/heads/{body['base']}"):
            said = f"No commits between {body['base']} and {body['head']}"
            return _invalid({"resource": "PullRequest", "code": "custom", "message": said})
        if any(pull.head == body["head"] and pull.state == "open" for pull in self.state.pulls):
            said = f"A pull request already exists for acme:{body['head']}."
            return _invalid({"resource": "PullRequest", "code": "custom", "message": said})
        made = self.state.add_pull(body["head"], body["base"], body["title"], body["body"])
        return Answer(201, self._pull(made))

    def _show(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        return Answer(200, self._pull(pull)) if pull else Answer(404, {"message": "Not Found"})

    def _edit(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        assert pull is not None
        pull.title, pull.body = body["title"], body["body"]
        return Answer(200, self._pull(pull))

    def _merge(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        pull = self.state.pull(match[1])
        assert pull is not None
        if body["sha"] != self.state.head_of(pull):
            said = "Head branch was modified. Review and try the merge again."
            return Answer(409, {"message": said})
        if not self.state.mergeable:
            return Answer(405, {"message": "Pull Request is not mergeable"})
        pull.state = "merged"
        return Answer(200, {"sha": body["sha"], "merged": True, "message": "merged"})

    def _comments(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        kind = {"comments": "line", "reviews": "review"}[match[2]]
        rows = [self._comment(each) for each in self.state.comments if each.kind == kind]
        return self._page(rows, f"{ROOT}/pulls/{match[1]}/{match[2]}", query)

    def _general(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        rows = [self._comment(each) for each in self.state.comments if each.kind == "general"]
        return self._page(rows, f"{ROOT}/issues/{match[1]}/comments", query)

    def _status(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        states = self.state.statuses
        order = ("error", "failure", "pending", "success")
        combined = next((each for each in order if each in states), "pending")
        return Answer(
            200,
            {
                "state": combined,
                "sha": match[1],
                "total_count": len(states),
                "statuses": [{"state": each, "context": "ci"} for each in states],
            },
        )

    def _runs(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        runs = [
            {"id": place, "name": "ci", "status": status, "conclusion": conclusion}
            for place, (status, conclusion) in enumerate(self.state.runs)
        ]
        return Answer(200, {"total_count": len(runs), "check_runs": runs})

    def _permission(self, match: re.Match[str], query: Query, body: Any) -> Answer:
        level = "write" if match[1] in self.state.writers else "read"
        return Answer(200, {"permission": level, "role_name": level, "user": {"login": match[1]}})

    def _pull(self, pull: Pull) -> dict[str, Any]:
        api = f"{self.base_url}{ROOT}"
        head = self.state.head_of(pull)
        return {
            "id": 10_000 + pull.number,
            "url": f"{api}/pulls/{pull.number}",
            "issue_url": f"{api}/issues/{pull.number}",
            "html_url": f"{self.base_url}/{PROJECT}/pull/{pull.number}",
            "number": pull.number,
            "state": "open" if pull.state == "open" else "closed",
            "merged": pull.state == "merged",
            "merged_at": "2026-05-04T13:00:00Z" if pull.state == "merged" else None,
            "title": pull.title,
            "body": pull.body,
            "user": {"login": OWN, "id": 1, "url": f"{self.base_url}/api/v3/users/{OWN}"},
            "head": {"ref": pull.head, "sha": head, "label": f"acme:{pull.head}"},
            "base": {"ref": pull.base, "sha": "b" * 40, "label": f"acme:{pull.base}"},
        }

    def _comment(self, comment: Comment) -> dict[str, Any]:
        outside = comment.author in self.state.outsiders
        row: dict[str, Any] = {
            "id": comment.id,
            "user": {"login": comment.author},
            "body": comment.body,
            "author_association": "NONE" if outside else "MEMBER",
        }
        row["submitted_at" if comment.kind == "review" else "created_at"] = comment.at
        if comment.kind == "line":
            row |= {"path": comment.path, "line": comment.line, "diff_hunk": comment.hunk}
            row |= {"in_reply_to_id": comment.parent} if comment.parent else {}
        return row

    def _page(self, rows: list[Any], path: str, query: Query) -> Answer:
        size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        shown = rows[(page - 1) * size : page * size]
        headers = {}
        if len(rows) > page * size:
            further = "&".join(f"{k}={v}" for k, v in {**query, "page": str(page + 1)}.items())
            headers["Link"] = f'<{self.base_url}{path}?{further}>; rel="next"'
        return Answer(200, shown, headers)


def _invalid(error: dict[str, str]) -> Answer:
    return Answer(422, {"message": "Validation Failed", "errors": [error], "status": "422"})
