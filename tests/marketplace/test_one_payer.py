"""Who requested a tribute pays it, and nobody else, also when another emperor moves its tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from marketplace.models import Execution, Wallet
from marketplace.services import hiring, wallet
from marketplace.services.offerings import start_selling
from marketplace.states import ExecutionStatus, RequeuePolicy, TributeStatus
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.registration import number_of, registry
from swarm.election import office
from swarm.messages import TaskComplete, TaskHandOn
from swarm.models import Task, TaskCopy
from swarm.replication import terms
from swarm.replication.messages import Term
from swarm.services.goals import cancel_task, requeue_or_fail
from swarm.services.handing_on import take_handed_on
from swarm.states import Actor, TaskStatus
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import COMMIT, GRANT, PRICE, Market, add_ready_agent, judge


class Household(Market):
    """A buyer with a second member in its swarm, and a seller of another one."""

    second: SimNode
    tribute_id: object
    goal_id: object

    @classmethod
    def hiring(cls, cluster: Cluster) -> Household:
        """Let the buyer hire the seller for one subtask, which is at work."""
        buyer = cluster.add("buyer", swarm="home")
        seller = cluster.add("seller", allow_nodes=(buyer.node_id,))
        household = cls(cluster, buyer, seller)
        household.second = cluster.add("second", swarm="home", role="worker")
        with cluster.acting(buyer):
            terms.take_office(cluster.now)
        for node in (buyer, seller):
            with cluster.acting(node):
                wallet.grant_initial(GRANT, now=cluster.now)
        with cluster.acting(seller):
            add_ready_agent("agent", cluster)
            start_selling(agents_max=1, price_per_task=PRICE, now=cluster.now)
        cluster.step()
        goal = household.goal(subtasks=1)
        household.goal_id = goal.id
        household.tribute_id = household.request(goal, count=1).id
        household.pass_time(3)
        assert household.dispatch() == 1
        household.pass_time(3)
        return household

    def pass_time(self, steps: int = 6) -> None:
        for _ in range(steps):
            self.cluster.step()

    def take_over(self) -> None:
        """Make the second member emperor of all that it was told of."""
        with self.cluster.acting(self.second):
            office.take(Term(counter=2, node_id=self.second.node_id), self.cluster.now)
            office.settle(self.cluster.now)

    def follow(self) -> None:
        """Let the buyer learn of it."""
        self.pass_time(2)
        with self.cluster.acting(self.buyer):
            office.follow(self.second.node_id, self.cluster.now)
        self.pass_time(4)

    def task(self) -> Task:
        """Return the subtask at the new emperor."""
        with self.cluster.acting(self.second):
            return Task.objects.get(parent_id=self.goal_id)

    def execution(self, node: SimNode) -> Execution:
        with self.cluster.acting(node):
            return Execution.objects.get()

    def at_second(self, act: Callable[[Task], object]) -> None:
        with self.cluster.acting(self.second):
            act(Task.objects.get(parent_id=self.goal_id))
        self.pass_time(8)

    def assert_paid(self, paid: bool) -> None:
        """Both sides have settled, and the new emperor has moved no VOID."""
        price = PRICE if paid else 0
        assert self.wallet(self.buyer) == (GRANT - price, 0)
        assert self.wallet(self.seller) == (GRANT + price, 0)
        for node in (self.buyer, self.seller):
            status = self.tribute(node, self.tribute_id).status  # type: ignore[arg-type]
            assert (status == TributeStatus.COMPLETED) is paid
            assert self.execution(node).status != ExecutionStatus.OPEN
        with self.cluster.acting(self.second):
            assert not Wallet.objects.exists()
            assert not Execution.objects.exists()
        self.check_books()


@pytest.fixture
def household(cluster: Cluster) -> Household:
    return Household.hiring(cluster)


def test_a_hired_run_goes_on_under_the_next_emperor_and_its_payer_pays(
    household: Household,
) -> None:
    household.take_over()
    household.follow()
    assert household.task().status == TaskStatus.CLAIMED
    with household.cluster.acting(household.buyer):
        assert not Task.objects.exists()

    household.work()
    household.pass_time()

    task = household.task()
    assert (task.status, task.commit) == (TaskStatus.PENDING_REVIEW, COMMIT)
    assert household.execution(household.buyer).reported_at is not None
    assert household.wallet(household.buyer) == (GRANT, PRICE), "a report alone pays nothing"

    household.at_second(lambda task: judge(task, TaskStatus.COMPLETED, household.cluster))
    household.assert_paid(True)


def test_a_report_that_the_next_emperor_was_not_told_of_is_handed_on(
    household: Household,
) -> None:
    household.cluster.cut.add(frozenset(("buyer", "second")))
    household.work()
    household.pass_time(2)
    household.take_over()
    assert household.task().status == TaskStatus.CLAIMED

    household.cluster.cut.clear()
    with household.cluster.acting(household.second):
        office.settle(household.cluster.now)
    household.follow()
    household.cluster.sync(household.buyer, household.second, "tasks")
    with household.cluster.acting(household.buyer):
        office.follow(household.second.node_id, household.cluster.now)
    household.pass_time()

    assert household.task().status == TaskStatus.PENDING_REVIEW
    household.at_second(lambda task: judge(task, TaskStatus.COMPLETED, household.cluster))
    household.cluster.sync(household.buyer, household.second, "tasks")
    household.pass_time()
    household.assert_paid(True)


def again(by: Actor, cluster: Cluster) -> Callable[[Task], object]:
    return lambda task: requeue_or_fail(
        task, by=by, reason="again", feedback="", evidence={}, now=cluster.now
    )


@pytest.mark.parametrize("what", ["lease", "cancelled", "failed by its seller"])
def test_an_unreported_run_that_the_next_emperor_gave_up_is_asked_back(
    what: str, household: Household
) -> None:
    cluster = household.cluster
    household.take_over()
    household.follow()

    if what == "failed by its seller":
        household.work(fail=True)
        household.pass_time(10)
        assert household.task().status == TaskStatus.PENDING
    elif what == "lease":
        household.at_second(again(Actor.LEASE, cluster))
    else:
        household.at_second(lambda task: cancel_task(task.id, reason="no more", now=cluster.now))
    household.pass_time(10)

    household.assert_paid(False)


@pytest.mark.parametrize("end", ["red", "cancelled"])
def test_a_reported_run_that_was_not_accepted_is_refused_and_a_cancelled_one_paid(
    end: str, household: Household
) -> None:
    """As it is where the payer is emperor: the remote shows what was reported."""
    cluster = household.cluster
    household.take_over()
    household.follow()
    household.work()
    household.pass_time()
    assert household.task().status == TaskStatus.PENDING_REVIEW

    if end == "red":
        household.at_second(again(Actor.GATE, cluster))
    else:
        household.at_second(lambda task: cancel_task(task.id, reason="no more", now=cluster.now))

    household.assert_paid(end == "cancelled")


def test_the_next_emperor_hires_nobody_under_a_tribute_that_it_does_not_pay(
    household: Household,
) -> None:
    household.take_over()
    household.follow()
    household.at_second(again(Actor.LEASE, household.cluster))

    with household.cluster.acting(household.second):
        task = Task.objects.get(parent_id=household.goal_id)
        assert hiring.hiring_goals() == set()
        assert hiring.hire(task, household.cluster.now) is None


def test_what_another_payer_hired_is_tested_as_the_work_of_a_stranger(
    household: Household,
) -> None:
    household.take_over()

    with household.cluster.acting(household.second):
        task = Task.objects.get(parent_id=household.goal_id)
        assert hiring.tasks_of_strangers(task.parent_id) == {task.id}  # type: ignore[arg-type]
    trusting = household.second.environment.model_copy(
        update={"allow_nodes": (household.seller.node_id,)}
    )
    household.second.environment = trusting
    with household.cluster.acting(household.second):
        assert hiring.tasks_of_strangers(task.parent_id) == set()  # type: ignore[arg-type]


def handed_on(household: Household) -> TaskHandOn:
    """Return what the buyer handed on of the seller's report."""
    household.take_over()
    household.follow()
    household.work()
    household.pass_time()
    with household.cluster.acting(household.buyer):
        rows = OutboxMessage.objects.filter(number=number_of(TaskHandOn)).order_by("-id")
        command = registry.decode(bytes(rows[0].frame))
    assert isinstance(command, TaskHandOn)
    return command


@pytest.mark.parametrize("fault", ["signature", "not to the sender", "no report"])
def test_only_the_sellers_own_signed_report_to_the_sender_is_taken(
    fault: str, household: Household
) -> None:
    from msgspec.structs import replace

    from p2p.protocol.codec import Received

    command = handed_on(household)
    assert isinstance(registry.decode(command.report.encode()), TaskComplete)
    if fault == "signature":
        command = replace(command, report=command.report.replace(COMMIT, "d" * 40))
    elif fault == "not to the sender":
        command = replace(command, origin=household.seller.node_id)
    taken: list[object] = []

    with household.cluster.acting(household.second), pytest.raises(DomainError) as caught:
        handlers = {} if fault == "no report" else {TaskComplete: lambda *args: taken.append(args)}
        take_handed_on(Received(command, b""), handlers, household.cluster.now)

    assert caught.value.code == "bad_report"
    assert taken == []


def test_under_the_policy_execution_a_verified_run_is_paid_whatever_comes_of_it(
    household: Household,
) -> None:
    with household.cluster.acting(household.buyer):
        execution = Execution.objects.select_related("tribute").get()
        task = Task.objects.get(id=execution.task_id)
        type(execution.tribute).objects.update(policy=RequeuePolicy.EXECUTION)
        Execution.objects.update(run=task.generation)
    with household.cluster.acting(household.seller):
        type(execution.tribute).objects.update(policy=RequeuePolicy.EXECUTION)
        Execution.objects.update(run=task.generation)
    household.take_over()
    household.follow()
    household.work()
    household.pass_time()

    household.at_second(again(Actor.GATE, household.cluster))

    household.assert_paid(True)


def test_the_payers_copy_of_the_task_is_what_settles_it(household: Household) -> None:
    household.take_over()
    household.follow()
    with household.cluster.acting(household.buyer):
        copy = TaskCopy.objects.get(parent_id=household.goal_id)
    assert (copy.emperor_node_id, copy.status) == (household.second.node_id, TaskStatus.CLAIMED)
    assert household.execution(household.buyer).status == ExecutionStatus.OPEN


@pytest.mark.parametrize("reported", [False, True])
def test_a_payer_that_is_emperor_again_settles_as_before(
    reported: bool, household: Household
) -> None:
    household.take_over()
    household.follow()
    if reported:
        household.work()
        household.pass_time()
    with household.cluster.acting(household.buyer):
        office.take(Term(counter=3, node_id=household.buyer.node_id), household.cluster.now)
        office.settle(household.cluster.now)
        assert Task.objects.filter(parent_id=household.goal_id).count() == 1
    household.pass_time(2)
    if not reported:
        household.work()
        household.pass_time()

    assert household.gate() == 1
    household.pass_time()
    household.assert_paid(True)
