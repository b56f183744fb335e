from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from p2p.mesh.dialler import Backoff
from p2p.mesh.links import LinkTable
from p2p.mesh.supervision import TaskOwner
from p2p.protocol.token_bucket import TokenBucket


@dataclass(eq=False)
class FakeLink:
    node_id: str
    outbound: bool
    dialler_nonce: str
    is_open: bool = True


@pytest.mark.parametrize("arrives_first", [0, 1])
@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        # (dialled by "a", nonce): the lower id's dial wins, of its own dials the later.
        (("a", "1"), ("b", "2")),
        (("a", "2"), ("a", "1")),
        (("b", "2"), ("b", "1")),
    ],
)
def test_both_ends_keep_the_same_link(
    winner: tuple[str, str], loser: tuple[str, str], arrives_first: int
) -> None:
    for own, other in (("a", "b"), ("b", "a")):
        table: LinkTable[FakeLink] = LinkTable(own)
        kept, lost = (
            FakeLink(other, outbound=dialler == own, dialler_nonce=nonce)
            for dialler, nonce in (winner, loser)
        )
        first, second = ((kept, lost), (lost, kept))[arrives_first]

        assert table.add(first).first
        change = table.add(second)

        assert (change.first, change.to_drain) == (False, lost)
        assert table.best(other) is kept
        assert table.remove(kept).promoted is lost
        assert table.remove(kept).last is False
        assert table.remove(lost).last
        assert table.best(other) is None


def test_a_closing_link_is_passed_over_while_there_is_another() -> None:
    table: LinkTable[FakeLink] = LinkTable("a")
    closing = FakeLink("b", outbound=True, dialler_nonce="2")
    draining = FakeLink("b", outbound=True, dialler_nonce="1")
    table.add(closing)
    table.add(draining)

    closing.is_open = False

    assert table.best("b") is draining
    table.remove(draining)
    assert table.best("b") is closing


def test_a_node_has_three_links_at_most() -> None:
    table: LinkTable[FakeLink] = LinkTable("a")
    links = [FakeLink("b", outbound=True, dialler_nonce=f"{n}") for n in (1, 4, 2, 3, 0)]

    surplus = [table.add(link).surplus for link in links]

    assert surplus == [(), (), (), (links[0],), (links[0], links[4])]
    assert [link.dialler_nonce for link in table.all_of("b")] == ["4", "3", "2", "1", "0"]


def test_a_bucket_goes_into_debt_and_pays_it_with_rest() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=20, now=0.0)

    assert bucket.take(20, 0.0) == 0.0
    assert bucket.take(5, 0.0) == 0.5
    assert bucket.take(0, 0.5) == 0.0
    assert bucket.take(20, 100.0) == 0.0
    assert bucket.take(1, 100.0) == pytest.approx(0.1)


def test_waits_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(0.5, 60.0, jitter=lambda: 0.5)

    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 0.5
    assert Backoff(1.0, 60.0, jitter=lambda: 0.0).next_s() == 0.75
    assert Backoff(1.0, 60.0, jitter=lambda: 1.0).next_s() == 1.25


async def test_a_failing_task_is_logged_and_takes_no_other_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = TaskOwner("test")
    survived = asyncio.Event()

    async def fail() -> None:
        raise RuntimeError("broken")

    async def survive() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        survived.set()
        await asyncio.Event().wait()

    assert owner.start("fails", fail())
    assert owner.start("lives", survive())
    assert not owner.start("lives", survive())
    await survived.wait()

    assert [record.getMessage() for record in caplog.records] == ["task test:fails failed"]
    assert (owner.runs("fails"), owner.runs("lives")) == (False, True)
    assert owner.start("ends", survive())
    await owner.end("ends")
    await owner.end("never ran")
    assert (owner.runs("ends"), owner.runs("lives")) == (False, True)
    await owner.stop()
    assert not owner.runs("lives")
