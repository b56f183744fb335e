"""What an operator sees of the election, and how the office is given up."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from pydantic import SecretStr
from rich.text import Text

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import ElectionState, KnownTerm, MemberPulse
from swarm.replication import terms
from tests.support.web_clients import bearer_client, operator_client, post_json
from voidlux_site.demo.overview import standing_of

OTHER = "0123" * 8


@pytest.fixture
def members(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that may have members, because it knows its swarm's secret."""
    environment = settings.ENVIRONMENT.model_copy(
        update={"auth_secret": SecretStr("the secret of this swarm"), "swarm": "home"}
    )
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)


def another_emperor(counter: int = 4) -> None:
    KnownTerm.objects.create(
        node_id=OTHER,
        counter=counter,
        addresses=[{"host": "192.0.2.7", "port": 7101}],
        http_port=9091,
        known_at=now_utc() - timedelta(minutes=5),
    )


def state(**facts: Any) -> None:
    ElectionState.objects.create(**{"standing": "follower", "since": now_utc(), **facts})


def heard(node_id: str, seconds: float) -> None:
    seen_at = now_utc() - timedelta(seconds=seconds)
    MemberPulse.objects.create(node_id=node_id, lamport_ts=1, seen_at=seen_at)


def shown() -> str:
    html = operator_client().get("/parts/election").content.decode()
    html = html.partition("reign")[2].partition(">")[2]  # below which node it is
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def election() -> dict[str, Any]:
    answer: dict[str, Any] = bearer_client().get("/api/swarm/election").json()
    return answer


def abdicate() -> Any:
    return post_json(bearer_client(), "/api/swarm/election/abdicate", {})


def line() -> str:
    status = bearer_client().get("/api/swarm/status").json()
    return Text(standing_of(status)).plain


def test_the_emperor_says_that_it_is_one(members: None) -> None:
    terms.take_office(now_utc(), 7)
    state(standing="emperor", emperor_node_id=local_node().node_id, counter=7)
    heard(OTHER, 2.0)

    answer = election()

    assert answer["standing"] == "emperor"
    assert (answer["emperor"]["node_id"], answer["emperor"]["term"]) == (local_node().node_id, 7)
    assert answer["emperor"]["is_self"]
    assert answer["vacant_s"] is None
    assert answer["timing"] == {"heartbeat_s": 10.0, "stale_s": 30.0, "candidacy_s": 5.0}
    assert [each["node_id"] for each in answer["members"]] == [OTHER]
    assert 2.0 <= answer["members"][0]["silent_s"] < 60.0
    assert shown().startswith("This node is emperor in term 7, since")
    assert shown().endswith("Abdicate")
    assert line() == "emperor in term 7"


def test_a_member_says_whom_it_follows_and_where_that_is(members: None) -> None:
    another_emperor()
    state(emperor_node_id=OTHER, counter=4, heard_at=now_utc())

    answer = election()

    assert answer["emperor"]["address"] == "http://192.0.2.7:9091"
    assert [each["term"] for each in answer["known_terms"]] == [4]
    assert "Emperor: 01230123 in term 4" in shown()
    assert "Abdicate" not in shown()
    assert b'href="http://192.0.2.7:9091/"' in operator_client().get("/parts/election").content
    assert line() == "follows 01230123 in term 4"


def test_while_nobody_is_emperor_that_is_said_with_its_time(members: None) -> None:
    another_emperor()
    state(standing="candidate", counter=4, heard_at=now_utc() - timedelta(seconds=40))

    assert election()["emperor"] is None
    assert 40.0 <= election()["vacant_s"] < 100.0
    assert re.fullmatch(r"No emperor for [4-9]\d s: an election runs", shown())
    assert re.fullmatch(r"no emperor for [4-9]\d s: an election runs", line())


def test_an_emperor_that_was_away_says_that_it_asks(members: None) -> None:
    terms.take_office(now_utc(), 7)
    terms.leave_office(now_utc())
    state(standing="doubtful", emperor_node_id=local_node().node_id, counter=7)

    assert shown() == "This node was away, and asks whether it is still emperor"
    assert line() == "emperor in term 7 (asks whether it still is)"


def test_abdicating_is_asked_of_the_node(members: None) -> None:
    terms.take_office(now_utc(), 7)
    state(standing="emperor", emperor_node_id=local_node().node_id, counter=7)
    heard(OTHER, 2.0)

    answer = abdicate()

    assert (answer.status_code, answer.json()["abdicates"]) == (202, True)
    assert ElectionState.objects.get().abdication_asked_at is not None
    assert abdicate().status_code == 202


@pytest.mark.parametrize("silent_s", [None, 300.0])
def test_who_has_no_successor_stays(members: None, silent_s: float | None) -> None:
    terms.take_office(now_utc(), 7)
    if silent_s is not None:
        heard(OTHER, silent_s)

    answer = abdicate()

    assert (answer.status_code, answer.json()["code"]) == (409, "no_successor")
    assert not ElectionState.objects.exists()


def test_who_is_no_emperor_asks_the_emperor_to_abdicate(members: None) -> None:
    another_emperor()

    answer = abdicate()

    assert answer.json()["code"] == "emperor_unreachable"
    assert OTHER[:8] in answer.json()["detail"]


def test_the_dashboards_button_gives_the_office_up(members: None) -> None:
    terms.take_office(now_utc(), 7)
    heard(OTHER, 2.0)

    answer = operator_client().post("/election/abdicate")

    assert answer.status_code == 204
    assert "election" in answer.headers["HX-Trigger"]
    assert ElectionState.objects.get().abdication_asked_at is not None
    MemberPulse.objects.all().delete()
    refused = operator_client().post("/election/abdicate", headers={"HX-Request": "true"})
    assert refused.status_code == 409
    assert b"nobody could follow" in refused.content


@pytest.mark.parametrize(("own", "said"), [(True, "The others elect"), (False, "Select this node")])
def test_the_admins_action_gives_the_office_up(members: None, own: bool, said: str) -> None:
    terms.take_office(now_utc(), 7)
    another_emperor()
    heard(OTHER, 2.0)
    row = KnownTerm.objects.get(node_id=local_node().node_id if own else OTHER)
    body = {"action": "give_up_office", "_selected_action": [str(row.pk)]}

    page = operator_client().post("/admin/swarm/knownterm/", body, follow=True)

    assert said in page.content.decode()
    asked = ElectionState.objects.filter(abdication_asked_at__isnull=False)
    assert asked.exists() is own


def test_every_page_shows_who_is_emperor(members: None) -> None:
    another_emperor()

    for path in ("/", "/market", "/contributions"):
        assert b"in term 4" in operator_client().get(path).content, path
