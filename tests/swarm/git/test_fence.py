"""The fence on a real remote: who may push a goal's branch, and what a refusal says."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import Fenced
from swarm.git.command import run_git
from swarm.git.fence import Fence, Pushed, Shown
from swarm.git.repository import Repository
from swarm.replication.messages import Term
from tests.support.git_remote import IDENTITY, GitRemote

GOAL = uuid.UUID("feed0000-0000-4000-8000-000000000000")
REF = "refs/voidlux/gate/feed0000"
BRANCH = "refs/heads/integrate/feed0000"
OLD, NEW = Term(counter=1, node_id="a" * 32), Term(counter=2, node_id="b" * 32)

MakeFence = Callable[[Term], Fence]


@pytest.fixture
def fence_of(remote: GitRemote, tmp_path: Path) -> MakeFence:
    """Return the fence as the node of a term handles it, each with a clone of its own."""

    def make(term: Term) -> Fence:
        repository = Repository(str(remote.path), tmp_path / f"home-{term.node_id[:4]}")
        repository.ensure()
        return Fence(repository, GOAL, term)

    return make


def work(fence: Fence, start: str, name: str) -> str:
    """Make a commit on top of `start` in the fence's own clone, which nobody else has."""
    tree = fence.repo.git("rev-parse", f"{start}^{{tree}}").stdout.strip()
    args = ["commit-tree", tree, "-p", start, "-m", name]
    return run_git(args, cwd=fence.repo.path, env_extra=IDENTITY).stdout.strip()


def words_of(remote: GitRemote) -> dict[str, object]:
    text = run_git(["cat-file", "commit", REF], cwd=remote.path).stdout
    return dict(msgspec.json.decode(text.partition("\n\n")[2]))


def test_the_first_push_makes_the_fence(
    fence_of: MakeFence, remote: GitRemote, base: str, git_commands: list[str]
) -> None:
    fence = fence_of(OLD)
    head = work(fence, base, "one")
    git_commands.clear()

    assert fence.look() == Shown("", "")
    assert fence.push(head, "") == head

    assert remote.refs()[BRANCH] == head
    said = {"term": 1, "node_id": OLD.node_id, "goal": GOAL.hex, "head": head}
    assert words_of(remote) == said | {"pushed_by": OLD.node_id}
    assert run_git(["rev-list", "--count", REF], cwd=remote.path).stdout == "1\n"
    assert run_git(["ls-tree", REF], cwd=remote.path).stdout == ""
    asked = [each for each in git_commands if each.startswith(("ls-remote", "push", "fetch"))]
    assert asked == [*["ls-remote --symref"] * 2, "push --quiet", "ls-remote --symref"]


def test_each_push_changes_the_fence_and_a_repeat_nothing(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    fence = fence_of(OLD)
    first = work(fence, base, "one")
    fence.push(first, "")
    mark = remote.refs()[REF]
    assert fence.push(first, "") == first
    assert remote.refs()[REF] == mark

    second = work(fence, first, "two")
    fence.push(second, first)

    assert (remote.refs()[BRANCH], words_of(remote)["head"]) == (second, second)
    assert remote.refs()[REF] != mark


def test_a_higher_term_raises_it_and_the_lower_one_is_refused(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    old, new = fence_of(OLD), fence_of(NEW)
    first = work(old, base, "one")
    old.push(first, "")
    shown = new.look()
    assert not new.is_ours(shown)
    assert new.is_ours(new.raise_over(shown))
    before = remote.refs()

    with pytest.raises(Fenced) as caught:
        old.push(work(old, first, "two"), first)
    assert caught.value.code == "fenced"
    assert str(caught.value) == (
        f"{REF} says term 2 of bbbbbbbb, which outranks term 1 of aaaaaaaa: left to that one"
    )

    assert remote.refs() == before
    new.repo.fetch_commit(new.branch, first)
    assert new.push(work(new, first, "three"), first) == remote.refs()[BRANCH]


@pytest.mark.parametrize("outranked", [False, True])
def test_at_equal_counters_the_lower_node_id_counts(
    fence_of: MakeFence, base: str, outranked: bool
) -> None:
    terms = [Term(counter=3, node_id=digit * 32) for digit in "ab"]
    mine, other = reversed(terms) if outranked else terms
    theirs = fence_of(other)
    theirs.raise_over(theirs.look())
    fence = fence_of(mine)

    if outranked:
        with pytest.raises(Fenced):
            fence.is_ours(fence.look())
    else:
        assert not fence.is_ours(fence.look())


@pytest.mark.parametrize("fenced", [True, False])
def test_a_push_that_was_on_its_way_when_the_fence_rose_is_refused_by_the_remote_itself(
    fence_of: MakeFence,
    remote: GitRemote,
    base: str,
    fenced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The branch has not moved, so without the fence nothing would stop the late push."""
    old, new = fence_of(OLD), fence_of(NEW)
    first = work(old, base, "one")
    old.push(first, "")
    second = work(old, first, "late")
    try_ = Fence._try

    def paused(self: Fence, *args: str) -> ExternalError | None:
        if self.own != OLD:
            return try_(self, *args)
        new.raise_over(new.look())
        mark = f":{self.ref}"
        kept = [each for each in args if fenced or not (self.ref in each or each.endswith(mark))]
        return try_(self, *kept)

    monkeypatch.setattr(Fence, "_try", paused)

    if fenced:
        with pytest.raises(Fenced):
            old.push(second, first)
    else:
        assert old.push(second, first) == second
    assert remote.refs()[BRANCH] == (first if fenced else second)
    assert words_of(remote) == {
        "term": 2, "node_id": NEW.node_id, "goal": GOAL.hex, "head": first,
        "pushed_by": OLD.node_id,
    }  # fmt: skip


def test_who_raises_the_fence_proves_only_what_was_pushed_with_it(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    """Somebody who knows of no fence pushes on top, and two emperors raise it one by one."""
    old, new = fence_of(OLD), fence_of(NEW)
    first = work(old, base, "one")
    old.push(first, "")
    strange = work(old, first, "strange")
    old.repo.git("push", "-q", str(remote.path), f"{strange}:{BRANCH}")

    shown = new.look()
    new.is_ours(shown)
    new.raise_over(shown)
    third = fence_of(Term(counter=3, node_id="c" * 32))
    shown = third.look()
    third.is_ours(shown)

    assert shown.head == strange
    assert third.pushed_at(shown) == Pushed(first, OLD.node_id)
    assert third.pushed_at(third.raise_over(shown)) == Pushed(first, OLD.node_id)


def test_a_fence_that_was_only_raised_proves_nothing(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    old = fence_of(OLD)
    assert old.pushed_at(old.look()) is None
    strange = work(old, base, "strange")
    old.repo.git("push", "-q", str(remote.path), f"{strange}:{BRANCH}")

    assert old.pushed_at(old.raise_over(old.look())) is None


def test_two_that_raise_it_at_once_do_not_both_succeed(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    old, new = fence_of(OLD), fence_of(NEW)
    shown = old.look()
    new.raise_over(new.look())

    with pytest.raises(Fenced):
        old.raise_over(shown)
    third = fence_of(Term(counter=3, node_id="c" * 32))
    with pytest.raises(DomainError) as caught:
        third.raise_over(shown)
    assert caught.value.code == "remote_moved"

    assert words_of(remote)["term"] == 2


@pytest.mark.parametrize("hook", ["update", "pre-receive"])
def test_a_remote_that_refuses_the_fence_is_named_with_its_words(
    fence_of: MakeFence, remote: GitRemote, base: str, hook: str
) -> None:
    path = remote.path / "hooks" / hook
    seen = '"$1"' if hook == "update" else '"$(cat)"'
    path.write_text(f"#!/bin/sh\ncase {seen} in *refs/voidlux/*) echo not here; exit 1;; esac\n")
    path.chmod(0o755)
    fence = fence_of(OLD)
    before = remote.refs()

    for push in (
        lambda: fence.push(work(fence, base, "one"), ""),
        lambda: fence.raise_over(Shown("", "")),
    ):
        with pytest.raises(ExternalError) as caught:
            push()
        assert f"does not take integrate/feed0000 with the fence {REF}: " in str(caught.value)
        assert "not here" in str(caught.value)

    assert remote.refs() == before


def test_a_remote_without_atomic_pushes_is_an_error_that_says_so(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    run_git(["config", "receive.advertiseAtomic", "false"], cwd=remote.path)
    fence = fence_of(OLD)

    with pytest.raises(ExternalError, match="the receiving end does not support --atomic push"):
        fence.push(work(fence, base, "one"), "")

    assert not {REF, BRANCH} & set(remote.refs())


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("hello", "JSON is malformed"),
        ('{"term":0,"node_id":"%s","goal":"x"}' % ("a" * 32), "Expected `int` >= 1"),
        ('{"term":2,"node_id":"me","goal":"x"}', "Expected `str`"),
        ('{"term":1002,"node_id":"%s","goal":"x"}' % ("a" * 32), "too far above 1"),
    ],
)
def test_what_is_no_fence_is_refused_by_name(
    fence_of: MakeFence, remote: GitRemote, base: str, message: str, why: str
) -> None:
    tree = run_git(["rev-parse", f"{base}^{{tree}}"], cwd=remote.path).stdout.strip()
    args = ["commit-tree", tree, "-m", message]
    made = run_git(args, cwd=remote.path, env_extra=IDENTITY).stdout.strip()
    run_git(["update-ref", REF, made], cwd=remote.path)
    fence = fence_of(OLD)

    with pytest.raises(DomainError, match=why) as caught:
        fence.is_ours(fence.look())

    assert caught.value.code == "bad_fence"
    assert str(caught.value).startswith(f"{REF} of {remote.path} shows {made}")


def test_a_branch_that_somebody_moved_is_not_pushed_over(
    fence_of: MakeFence, remote: GitRemote, base: str
) -> None:
    fence = fence_of(OLD)
    rival = remote.push("integrate/feed0000", {"rival.txt": "rival"}, start=base)

    for expected in ("", base, None):
        with pytest.raises(DomainError) as caught:
            fence.push(work(fence, base, "one"), expected)
        assert caught.value.code == "remote_moved"

    assert remote.refs()[BRANCH] == rival
    assert REF not in remote.refs()


def test_a_push_whose_answer_was_lost_counts_as_the_remote_shows_it(
    fence_of: MakeFence, remote: GitRemote, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = fence_of(OLD)
    head = work(fence, base, "one")
    try_ = Fence._try

    def cut(self: Fence, *args: str) -> ExternalError:
        try_(self, *args)
        return ExternalError("the connection broke", retryable=True)

    monkeypatch.setattr(Fence, "_try", cut)

    assert fence.push(head, "") == head
    assert remote.refs()[BRANCH] == head


@pytest.mark.parametrize("fenced", [True, False])
def test_the_remote_compares_the_fence_even_in_the_middle_of_a_push(
    fence_of: MakeFence,
    remote: GitRemote,
    base: str,
    fenced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old one's git has seen both refs and sent its wish when the new one raises the fence."""
    old, new = fence_of(OLD), fence_of(NEW)
    first = work(old, base, "one")
    old.push(first, "")
    second = work(old, first, "late")
    mark = new._write(Pushed(first, OLD.node_id))
    new.repo.git("push", "-q", str(remote.path), f"{mark}:refs/heads/kept")
    hook = remote.path / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY\n"
        f"unset GIT_ALTERNATE_OBJECT_DIRECTORIES\nexec git update-ref {REF} {mark}\n"
    )
    hook.chmod(0o755)
    if not fenced:  # a fence that stays as it is is not sent, so that nobody compares it
        monkeypatch.setattr(Fence, "_write", lambda self, _: remote.refs()[REF])

    if fenced:
        with pytest.raises(Fenced):
            old.push(second, first)
    else:
        assert old.push(second, first) == second

    assert remote.refs()[BRANCH] == (first if fenced else second)
    assert remote.refs()[REF] == mark
