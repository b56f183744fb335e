from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin

from marketplace.models import LedgerEntry, Offering, Partner, Tribute
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Job, Task
from swarm.states import TaskStatus
from tests.support.factories import BUYER, make_offering, make_task, make_tribute
from tests.support.seeded_node import seed_node
from tests.support.web_clients import operator_client, post_json
from voidlux_site.models import StoredAnswer

MODELS = [
    model
    for label in ("p2p", "swarm", "marketplace", "voidlux_site")
    for model in apps.get_app_config(label).get_models()
]


def _path(model: Any, rest: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{rest}"


def _act(action: str, row: Any) -> Any:
    body = {"action": action, "_selected_action": [str(row.pk)]}
    return operator_client().post(_path(type(row)), body, follow=True)


def test_every_model_is_registered() -> None:
    assert [model for model in MODELS if not admin.site.is_registered(model)] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list_search_and_detail_answer_and_nothing_can_be_written(db: None, model: Any) -> None:
    seed_node(now_utc())
    StoredAnswer.objects.create(
        key="k", operation="POST /x", body_sha256="0", status=201, body={}, created_at=now_utc()
    )
    client = operator_client()
    row = model.objects.first()
    assert row is not None

    assert client.get(_path(model)).status_code == 200
    assert client.get(_path(model), {"q": "a"}).status_code == 200
    assert client.get(_path(model, f"{row.pk}/change/")).status_code == 200
    assert client.get(_path(model, "add/")).status_code == 403
    assert client.post(_path(model, f"{row.pk}/delete/"), {"post": "yes"}).status_code == 403
    assert client.post(_path(model, f"{row.pk}/change/"), {}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_the_admin_is_branded_and_sends_strangers_to_a_login_link(db: None, client: Any) -> None:
    assert b"VoidLux records" in operator_client().get("/admin/").content
    assert b"manage.py loginlink" in client.get("/admin/", follow=True).content


def test_frames_are_shown_as_text(db: None) -> None:
    tribute = make_tribute(request_frame=b'{"type":194,"note":"<b>"}\xff')

    page = operator_client().get(_path(Tribute, f"{tribute.pk}/change/")).content.decode()

    assert "{&quot;type&quot;:194,&quot;note&quot;:&quot;&lt;b&gt;&quot;}\\xff" in page


def test_tasks_are_cancelled_by_the_service(db: None) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)

    response = _act("cancel", goal)

    assert b"is cancelled" in response.content
    assert Task.objects.get().error == "cancelled in the admin"


def test_an_action_that_is_refused_says_why(db: None) -> None:
    goal = make_task("goal", TaskStatus.COMPLETED)

    response = _act("cancel", goal)

    assert b"is completed and cannot become cancelled" in response.content


def test_tributes_are_rejected_by_the_service(db: None) -> None:
    tribute = make_tribute(
        now=now_utc(), from_node_id=BUYER, to_node_id=local_node().node_id, task_count=1
    )

    _act("reject", tribute)

    assert Tribute.objects.get().status == "rejected"


def test_tributes_are_accepted_by_the_service_and_their_buyers_remembered(db: None) -> None:
    own_id = local_node().node_id
    once = make_tribute(now=now_utc(), from_node_id=BUYER, to_node_id=own_id)
    _act("accept", once)
    assert (Job.objects.get().key, Partner.objects.count()) == (once.id.hex, 0)

    again = make_tribute(now=now_utc(), from_node_id=BUYER, to_node_id=own_id)
    response = _act("accept_and_remember", again)

    assert b"as soon as the buyer" in response.content
    assert Partner.objects.get().standing == "approved"


def test_tributes_are_cancelled_by_the_service(db: None) -> None:
    own_id = local_node().node_id
    sold = make_tribute(
        now=now_utc(), from_node_id=BUYER, to_node_id=own_id, status="accepted", tx_hash="0x1"
    )

    _act("cancel", sold)

    assert Tribute.objects.get().reason == "cancelled in the admin"


def test_partners_are_blocked_with_what_they_wait_for_and_approved_again(db: None) -> None:
    partner = Partner.objects.create(node_id=BUYER, note="n", decided_at=now_utc())
    make_tribute(now=now_utc(), from_node_id=BUYER, to_node_id=local_node().node_id)

    _act("block", partner)
    assert Tribute.objects.get().reason_code == "not_allowed"
    assert Partner.objects.get().standing == "blocked"

    _act("approve", partner)
    assert (Partner.objects.get().standing, Partner.objects.get().note) == ("approved", "n")


def test_an_offering_of_another_node_is_not_withdrawn(db: None) -> None:
    offering = make_offering(now=now_utc())

    response = _act("withdraw", offering)

    assert b"is of another node" in response.content
    assert Offering.objects.get().withdrawn_at is None


def test_the_ledger_offers_no_deletion(db: None) -> None:
    seed_node(now_utc())
    entry = LedgerEntry.objects.first()
    assert entry is not None

    _act("delete_selected", entry)

    assert LedgerEntry.objects.count() == 3


def test_a_stored_answer_is_listed(db: None) -> None:
    client = operator_client()
    post_json(client, "/api/swarm/agents", {"name": "a-1"}, **{"Idempotency-Key": "k-9"})

    assert b"k-9" in client.get(_path(StoredAnswer)).content
