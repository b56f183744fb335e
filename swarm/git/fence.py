"""The fence of a goal: a ref of its remote that names the term which may push its integration.

It points to a commit without parents and files, because forges take commits, whose message is one
line of JSON. The commit names the head that was pushed with it, so that each push changes the
fence too and the remote itself compares both refs with what their writer saw. Who only raises the
fence repeats what it said of the last push: it stays the proof that an emperor made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from p2p.protocol.errors import DomainError, ExternalError
from p2p.protocol.fields import NodeId, OptionalNodeId, Sequence
from swarm.errors import Fenced
from swarm.git.command import TRANSFER_TIMEOUT_S, redact, run_git
from swarm.git.merging import GATE_AUTHOR, identity_environment
from swarm.git.names import ID_DIGITS, integration_branch
from swarm.git.pushing import remote_moved, require_contained
from swarm.git.repository import Repository
from swarm.replication.messages import Term

FENCES = "refs/voidlux/gate"
COUNTER_JUMP_MAX = 1_000  # as for terms that are heard: further ahead is a lie or a mistake
DATE = "@1577836800 +0000"  # the same words are the same commit, wherever they are written


class _Message(msgspec.Struct, frozen=True):
    """What a fence says: the term, the goal, and what was pushed with it last and by whom."""

    term: Sequence
    node_id: NodeId
    goal: str
    head: str = ""
    pushed_by: OptionalNodeId = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The last commit of a branch that was pushed together with the fence, and the emperor."""

    head: str
    by: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the remote shows in one answer: the commits at branch and fence; empty for none."""

    head: str
    fence: str


@dataclass(frozen=True, slots=True)
class Fence:
    """One goal's fence as the emperor of the term `own` handles it.

    `seen` is what the remote showed when this emperor took hold of it, before it raised it.
    """

    repo: Repository
    goal_id: UUID
    own: Term
    seen: Shown = Shown("", "")

    @property
    def ref(self) -> str:
        """The name of the fence on the remote."""
        return f"{FENCES}/{self.goal_id.hex[:ID_DIGITS]}"

    @property
    def branch(self) -> str:
        """The branch that may only be pushed with the fence."""
        return integration_branch(self.goal_id)

    def look(self) -> Shown:
        """Ask the remote for branch and fence together."""
        branch = f"refs/heads/{self.branch}"
        answer = self.repo.shown_at(branch, self.ref)
        return Shown(answer.get(branch, ""), answer.get(self.ref, ""))

    def is_ours(self, shown: Shown) -> bool:
        """Tell whether the fence names our term: False where it is absent or of a lower one.

        Fenced where it is of a higher one; DomainError `bad_fence` where it is none of ours.
        """
        if not shown.fence:
            return False
        message = self._message_at(shown.fence)
        term = Term(counter=message.term, node_id=message.node_id)
        if term.rank > self.own.rank:
            raise Fenced(self.ref, own=_words(self.own), found=_words(term))
        return term == self.own

    def pushed_at(self, shown: Shown) -> Pushed | None:
        """Return the last push that a fence proves; None where there is no fence, or it names none.

        What the branch shows may be more, or something else: others push without a fence.
        """
        message = self._message_at(shown.fence) if shown.fence else None
        if message is None or not message.head or not message.pushed_by:
            return None
        return Pushed(message.head, message.pushed_by)

    def raise_over(self, shown: Shown) -> Shown:
        """Put our term at the fence, over exactly what was seen; returns what is there then.

        DomainError `remote_moved` where branch or fence show anything else meanwhile.
        """
        # Not the head that is seen: it may be the push of somebody who knows of no fence.
        mark = self._write(self.pushed_at(shown))
        lease = f"--force-with-lease={self.ref}:{shown.fence}"
        failure = self._try(lease, "--", self.repo.url, f"{mark}:{self.ref}")
        after = self.look()
        if after.fence != mark:
            raise self._refused(shown, after, failure)
        if after.head != shown.head:  # without the fence: somebody who knows of none
            raise remote_moved(self.repo, self.branch, shown.head, after.head)
        return after

    def push(self, commit: str, expected: str | None) -> str:
        """Push `commit` and the fence in one step, each over exactly what was seen.

        The branch must show `expected` ("" for none; None for any ancestor of `commit`).
        """
        shown = self.look()
        self.is_ours(shown)
        if shown.head == commit:  # a worker that died after its push already did it
            return commit
        if expected is None and not shown.head:
            raise remote_moved(self.repo, self.branch, f"an ancestor of {commit}", "")
        if expected is not None and shown.head != expected:
            raise remote_moved(self.repo, self.branch, expected, shown.head)
        require_contained(self.repo, self.branch, shown.head, commit)
        self._push_both(commit, shown)
        return commit

    def _push_both(self, commit: str, shown: Shown) -> None:
        branch = f"refs/heads/{self.branch}"
        mark = self._write(Pushed(commit, self.own.node_id))
        failure = self._try(
            "--atomic",
            f"--force-with-lease={branch}:{shown.head}",
            f"--force-with-lease={self.ref}:{shown.fence}",
            "--",
            self.repo.url,
            f"{commit}:{branch}",
            f"{mark}:{self.ref}",
        )
        after = self.look()  # the remote's word decides, not the exit code
        if after.head != commit or (failure is not None and after.fence != mark):
            raise self._refused(shown, after, failure)

    def _try(self, *args: str) -> ExternalError | None:
        try:
            with self.repo.locked():
                self.repo.git("push", "--quiet", *args, timeout_s=TRANSFER_TIMEOUT_S)
        except ExternalError as error:
            return error
        return None

    def _refused(
        self, shown: Shown, after: Shown, failure: ExternalError | None
    ) -> DomainError | ExternalError:
        """Return why a push did not arrive: fenced, moved meanwhile, or the remote's own words."""
        self.is_ours(after)
        if failure is None or after != shown:
            return remote_moved(self.repo, self.branch, shown.head, after.head)
        return ExternalError(
            f"{redact(self.repo.url)} does not take {self.branch} with the fence {self.ref}: "
            f"{failure}",
            retryable=failure.retryable,
        )

    def _message_at(self, commit: str) -> _Message:
        if not self.repo.has_commit(commit):  # one of our own writing is in the clone
            self.repo.fetch_ref(self.ref)
            if not self.repo.has_commit(commit):
                raise remote_moved(self.repo, self.ref, commit, "")
        text = self.repo.git("cat-file", "commit", commit).stdout.partition("\n\n")[2]
        try:
            message = msgspec.json.decode(text, type=_Message)
        except msgspec.MsgspecError as error:
            raise self._bad(commit, str(error)) from error
        if message.term > self.own.counter + COUNTER_JUMP_MAX:
            raise self._bad(commit, f"term {message.term} is too far above {self.own.counter}")
        return message

    def _bad(self, commit: str, why: str) -> DomainError:
        return DomainError(
            "bad_fence",
            f"{self.ref} of {redact(self.repo.url)} shows {commit}, which is no fence: {why}",
        )

    def _write(self, pushed: Pushed | None) -> str:
        said = (pushed.head, pushed.by) if pushed else ("", "")
        message = _Message(self.own.counter, self.own.node_id, self.goal_id.hex, *said)
        tree = run_git(["mktree"], cwd=self.repo.path, stdin="").stdout.strip()
        args = ["commit-tree", tree, "-m", msgspec.json.encode(message).decode()]
        environment = identity_environment(GATE_AUTHOR, DATE)
        return run_git(args, cwd=self.repo.path, env_extra=environment).stdout.strip()


def _words(term: Term) -> str:
    return f"term {term.counter} of {term.node_id[:8]}"
