"""The wall as people and tools see it: API, dashboard part and dialog."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.test import Client

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.posts.models import WallPost
from tests.support.factories import SELLER, make_post
from tests.support.web_clients import bearer_client, operator_client, post_json

POSTS = "/api/swarm/posts"


def _post(body: Any, **headers: str) -> Any:
    return post_json(bearer_client(), POSTS, body, **headers)


def _contents(query: str = "") -> list[str]:
    response = bearer_client().get(f"{POSTS}{query}")
    assert response.status_code == 200, response.content
    return [item["content"] for item in response.json()["items"]]


def test_a_post_is_written_listed_and_removed(db: None) -> None:
    written = _post({"content": "hello wall", "author": "ada"})

    body = written.json()
    assert written.status_code == 201
    assert (body["content"], body["author"]) == ("hello wall", "ada")
    assert body["node_id"] == local_node().node_id
    assert _contents() == ["hello wall"]
    removed = bearer_client().delete(f"{POSTS}/{body['id']}")
    assert removed.json() == {"id": body["id"], "removed": True}
    assert _contents() == []
    again = bearer_client().delete(f"{POSTS}/{body['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


def test_a_post_of_another_node_cannot_be_removed(db: None) -> None:
    post = make_post("not yours", "ada", SELLER, now=now_utc())

    response = bearer_client().delete(f"{POSTS}/{post.post_id.hex}")

    assert (response.status_code, response.json()["code"]) == (403, "not_ours")
    assert WallPost.objects.count() == 1


def test_a_bad_post_names_its_mistake(db: None) -> None:
    for body, field in (
        ({"content": ""}, "content"),
        ({"content": "x" * 501}, "content"),
        ({"content": "x", "author": "a" * 65}, "author"),
        ({"content": "x", "node_id": SELLER}, "node_id"),
    ):
        response = _post(body)
        assert response.status_code == 422, body
        assert field in json.dumps(response.json()["errors"])
    blank = _post({"content": "  "})
    assert (blank.status_code, blank.json()["code"]) == (422, "bad_content")
    assert WallPost.objects.count() == 0


def test_the_eleventh_post_of_a_minute_is_refused(db: None) -> None:
    for n in range(10):
        assert _post({"content": f"post {n}"}).status_code == 201

    refused = _post({"content": "one more"})

    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_posts"
    assert WallPost.objects.count() == 10


def test_a_repeated_request_writes_once(db: None) -> None:
    key = {"Idempotency-Key": "w-1"}

    first, second = _post({"content": "once"}, **key), _post({"content": "once"}, **key)

    assert first.json() == second.json()
    assert _contents() == ["once"]


def test_posts_are_paged_newest_first_and_filtered(db: None) -> None:
    now = now_utc()
    for n in range(5):
        make_post(f"{n}", "ada", SELLER, now=now - timedelta(minutes=5 - n))
    make_post("mine", "me", local_node().node_id, now=now)
    make_post("over", "ada", SELLER, now=now - timedelta(days=30))
    seen, cursor = [], ""

    while True:
        body = bearer_client().get(f"{POSTS}?limit=2&cursor={cursor}").json()
        seen += [item["content"] for item in body["items"]]
        cursor = body["next_cursor"]
        if not cursor:
            break

    assert seen == ["mine", "4", "3", "2", "1", "0"]
    assert _contents(f"?node_id={local_node().node_id}") == ["mine"]
    assert bearer_client().get(f"{POSTS}?node_id=me").status_code == 422


def test_a_stranger_neither_reads_nor_writes(db: None) -> None:
    assert Client().get(POSTS).status_code == 401
    assert post_json(Client(), POSTS, {"content": "x"}).status_code == 401
    assert Client().post("/posts/new", {"content": "x"}).headers["Location"] == "/login"
    assert Client().post(f"/posts/{uuid.uuid4()}/remove").headers["Location"] == "/login"
    assert WallPost.objects.count() == 0


def test_the_wall_shows_posts_and_lets_own_ones_be_removed(db: None) -> None:
    now = now_utc()
    own = make_post("mine", "me", local_node().node_id, now=now)
    theirs = make_post("<b>theirs</b>", "<i>ada", SELLER, now=now)

    html = operator_client().get("/parts/posts").content.decode()

    assert "&lt;b&gt;theirs&lt;/b&gt;" in html
    assert "<b><bdi>&lt;i&gt;ada</bdi></b>" in html
    assert f"/posts/{own.post_id}/remove" in html
    assert str(theirs.post_id) not in html
    assert "older post" not in html


def test_the_wall_says_what_it_does_not_show(db: None) -> None:
    now = now_utc()
    for n in range(23):
        make_post(f"post {n}", "ada", SELLER, now=now - timedelta(minutes=n))

    html = operator_client().get("/parts/posts").content.decode()

    assert html.count("post-text") == 20
    assert "3 older posts: see the" in html


def test_the_dialog_writes_and_remembers_who_signed(db: None) -> None:
    client = operator_client()
    assert b'value="home"' in client.get("/posts/new").content

    response = client.post("/posts/new", {"content": "x\r\n" * 166 + "yy", "author": "ada"})

    assert response.status_code == 204
    assert json.loads(response.headers["HX-Trigger"])["voidlux:saved"] == {
        "message": "The post is on the wall",
        "parts": ["posts"],
        "stay": False,
    }
    assert len(WallPost.objects.get().content) == 334
    assert b'value="ada"' in client.get("/posts/new").content


def test_the_dialog_keeps_what_was_refused(db: None) -> None:
    response = operator_client().post("/posts/new", {"content": "x" * 501, "author": "ada"})

    assert response.status_code == 422
    assert b"a post of 501 characters: 1 to 500" in response.content
    assert b"x" * 501 + b"</textarea>" in response.content


def test_the_button_removes(db: None) -> None:
    client = operator_client()
    client.post("/posts/new", {"content": "oops", "author": "ada"})
    post = WallPost.objects.get()

    response = client.post(f"/posts/{post.post_id}/remove")

    assert response.status_code == 204
    assert WallPost.objects.count() == 0
    refused = client.post(f"/posts/{post.post_id}/remove")
    assert refused.status_code == 404
    assert f"no post {post.post_id}".encode() in refused.content
