"""Tasks and agents; the other models of the swarm are gathered here for Django."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from swarm.agents.models import Delivery as Delivery  # found by Django here
from swarm.attempt_models import Attempt as Attempt  # found by Django here
from swarm.budgets.models import Usage as Usage  # found by Django here
from swarm.election.models import ElectionState as ElectionState  # found by Django here
from swarm.forge.models import FollowUp as FollowUp  # found by Django here
from swarm.forge.models import PullRequest as PullRequest
from swarm.forge.models import ReviewComment as ReviewComment
from swarm.gate.models import FlakyTest as FlakyTest  # found by Django here
from swarm.gate.models import MergeRun as MergeRun
from swarm.gate.models import TestRun as TestRun
from swarm.job_models import Job as Job  # found by Django here
from swarm.llm.models import LlmCall as LlmCall  # found by Django here
from swarm.mcp.models import McpToken as McpToken  # found by Django here
from swarm.replication.models import KnownTerm as KnownTerm  # found by Django here
from swarm.replication.models import MemberPulse as MemberPulse
from swarm.replication.models import RemoteAgent as RemoteAgent
from swarm.replication.models import SeenDispatch as SeenDispatch
from swarm.replication.models import TaskCopy as TaskCopy
from swarm.review.models import Review as Review  # found by Django here
from swarm.states import (
    TASK_TERMINAL,
    Actor,
    AgentStatus,
    Complexity,
    OnBudget,
    PlanApproval,
    TaskStatus,
    TestSource,
)

ATTEMPTS_MAX_DEFAULT = 3  # design section 7: at most 3 attempts, then failed with its evidence


class HeldTasks(models.Manager["Task"]):
    """The tasks that this node moves: not those that it left to another emperor."""

    def get_queryset(self) -> models.QuerySet[Task]:
        """Return the tasks that were not released."""
        return super().get_queryset().filter(released_at__isnull=True)


class Task(models.Model):
    """A goal (no parent) or one of its subtasks; moved by the emperor of its swarm only.

    `objects` are those that this node moves now; `with_released` also those that it moved once.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="subtasks"
    )
    number = models.PositiveSmallIntegerField(default=0, help_text="Place in the plan, from 1.")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, help_text="The goal as its user wrote it.")
    instructions = models.TextField(blank=True)
    shell = models.TextField(blank=True, help_text="What the shell tool runs.")
    acceptance_criteria = models.TextField(blank=True, help_text="When it is done.")
    complexity = models.CharField(
        max_length=8, choices=Complexity, default=Complexity.MEDIUM, help_text="How much work."
    )
    status = models.CharField(max_length=16, choices=TaskStatus, default=TaskStatus.PENDING)
    priority = models.SmallIntegerField(default=0)
    required_capabilities = models.JSONField(default=list, blank=True)
    depends_on = models.ManyToManyField(
        "self", symmetrical=False, blank=True, related_name="dependants"
    )

    repository = models.CharField(max_length=512, help_text="URL or path of the git remote.")
    base_branch = models.CharField(max_length=200, blank=True)
    base_commit = models.CharField(max_length=64, blank=True)
    integration_commit = models.CharField(
        max_length=64, blank=True, help_text="Pushed head of the goal's integration branch."
    )
    base_red = models.BooleanField(
        default=False, help_text="The test command already failed on the base."
    )
    test_command = models.CharField(max_length=1000, blank=True)
    test_source = models.CharField(
        max_length=12, choices=TestSource, blank=True, help_text="Who chose the test command."
    )
    test_settings = models.JSONField(
        default=dict, blank=True, help_text="What the repository's settings say of tests."
    )
    auto_merge = models.BooleanField(
        default=False, help_text="Its pull request is merged when the checks are green."
    )

    created_by = models.CharField(
        max_length=32, help_text="Node id of the emperor that was given it."
    )
    assigned_node = models.CharField(max_length=32, blank=True)
    assigned_agent = models.CharField(max_length=64, blank=True)
    assigned_agent_id = models.UUIDField(
        null=True, blank=True, help_text="The agent of this swarm that has it."
    )
    tribute_id = models.UUIDField(null=True, blank=True, help_text="Paid under this tribute.")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Runs begun so far.")
    attempts_max = models.PositiveSmallIntegerField(default=ATTEMPTS_MAX_DEFAULT)
    generation = models.PositiveIntegerField(
        default=0, help_text="Rises with each dispatch; an older one is refused."
    )
    generation_floor = models.PositiveIntegerField(
        default=0,
        help_text="New dispatches are numbered above it: an emperor before may have made others.",
    )
    term = models.PositiveBigIntegerField(
        default=0, help_text="Counter of the emperor's term that dispatched it last."
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    git_branch = models.CharField(max_length=200, blank=True)
    commit = models.CharField(max_length=64, blank=True, help_text="The commit last reported.")
    merged_commit = models.CharField(max_length=64, blank=True)
    changed_paths = models.JSONField(
        default=list, blank=True, help_text="What its last reported commit changes; the first 200."
    )
    feedback = models.TextField(blank=True, help_text="What the next attempt should know.")
    progress = models.CharField(max_length=500, blank=True)
    result = models.TextField(blank=True)
    error = models.TextField(blank=True, help_text="Why the task failed or was sent back.")
    waiting_reason = models.CharField(
        max_length=300, blank=True, help_text="Why no agent can take it, while it is pending."
    )

    # Budget: a subtask without a limit of its own has that of its goal
    time_limit_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long one run may take (seconds); empty: no limit."
    )
    token_limit = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Read and written, over all attempts."
    )
    cost_limit_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Millionths of a US dollar, over all attempts."
    )
    on_budget = models.CharField(
        max_length=4, choices=OnBudget, blank=True, help_text="What happens at the limit."
    )
    tokens_used = models.PositiveBigIntegerField(default=0)
    cost_used_micros = models.PositiveBigIntegerField(default=0)
    over_budget = models.CharField(
        max_length=300, blank=True, help_text="Why it waits for the operator's decision."
    )

    # Needs-input: the last question of its agent, and the answer
    question = models.TextField(blank=True)
    choices = models.JSONField(default=list, blank=True, help_text="Answers that are offered.")
    question_generation = models.PositiveIntegerField(default=0)
    question_number = models.PositiveSmallIntegerField(default=0)
    asked_at = models.DateTimeField(null=True, blank=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(
        null=True, blank=True, help_text="Hidden from lists since then; only what has ended."
    )
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Left to another emperor since then; kept as evidence."
    )

    # Planning by a language model
    notes = models.TextField(
        blank=True, help_text="A goal's architecture notes, which all of its agents get."
    )
    plan_approval = models.CharField(
        max_length=7, choices=PlanApproval, blank=True, help_text="Empty: as the node is set."
    )
    plan_draft = models.JSONField(
        null=True, blank=True, help_text="A plan that waits to be approved: notes and subtasks."
    )

    objects = HeldTasks()
    with_released = models.Manager["Task"]()

    class Meta:
        ordering = ("created_at", "number")
        indexes = [
            models.Index(fields=["status", "parent"], name="task_queue"),
            models.Index(fields=["status", "created_at"], name="task_status_created"),
            models.Index(
                fields=["status", "-priority", "created_at", "number"], name="task_dispatch_order"
            ),
            models.Index(fields=["archived_at", "created_at"], name="task_list"),
            models.Index(fields=["parent", "number"], name="task_parent"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(attempt__lte=F("attempts_max")), name="task_attempts_within_max"
            ),
            models.CheckConstraint(
                condition=Q(status__in=TaskStatus.values), name="task_status_known"
            ),
            models.CheckConstraint(
                condition=Q(complexity__in=Complexity.values), name="task_complexity_known"
            ),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True) | Q(status__in=sorted(TASK_TERMINAL)),
                name="task_archived_has_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id8} {self.title}"

    @property
    def id8(self) -> str:
        """The first 8 hex digits of the id, as in branch names."""
        return self.id.hex[:8]


class TaskEvent(models.Model):
    """One transition of a task: who moved it, why, and on what evidence."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="events")
    source = models.CharField(max_length=16, blank=True)
    target = models.CharField(max_length=16)
    by = models.CharField(max_length=12, choices=Actor)
    reason = models.CharField(max_length=500)
    evidence = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


class Agent(models.Model):
    """A tool in a tmux session of this node that works on one task at a time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True)
    tool = models.CharField(max_length=32, default="shell")
    capabilities = models.JSONField(default=list, blank=True)
    session = models.CharField(max_length=64, unique=True, help_text="Name of the tmux session.")
    status = models.CharField(max_length=16, choices=AgentStatus, default=AgentStatus.STARTING)
    source = models.CharField(max_length=32, blank=True, help_text="What kind of evidence.")
    rule = models.CharField(max_length=64, blank=True, help_text="Which rule judged it.")
    evidence = models.CharField(max_length=500, blank=True)
    status_since = models.DateTimeField()
    attempt = models.OneToOneField(
        "Attempt", on_delete=models.SET_NULL, null=True, blank=True, related_name="holder"
    )
    reserved_for = models.CharField(
        max_length=64, blank=True, help_text="Who reserved it, such as `tribute:<id>`."
    )
    reserved_until = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="Dispatch passes the agent over until then."
    )
    paused_reason = models.CharField(max_length=300, blank=True)
    token_limit = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Read and written, per day (UTC)."
    )
    cost_limit_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Millionths of a US dollar per day (UTC)."
    )
    usage_day = models.DateField(null=True, blank=True, help_text="Day of the two figures.")
    tokens_today = models.PositiveBigIntegerField(default=0)
    cost_today_micros = models.PositiveBigIntegerField(default=0)
    registered_at = models.DateTimeField()

    # How it is started and judged
    model = models.CharField(
        max_length=100, blank=True, help_text="Model that the tool is asked for."
    )
    considered = models.JSONField(
        default=list, blank=True, help_text="All evidence of the last judgement, best first."
    )
    said_source = models.CharField(max_length=8, blank=True, help_text="mcp or hook")
    said_state = models.CharField(
        max_length=16, blank=True, help_text="What its last signal means."
    )
    said_text = models.CharField(max_length=200, blank=True)
    said_at = models.DateTimeField(null=True, blank=True)
    dialog = models.JSONField(
        null=True, blank=True, help_text="The open dialog: name, question and choices."
    )
    crashes = models.PositiveSmallIntegerField(
        default=0, help_text="Times in a row that its program ended before it did anything."
    )
    restart_at = models.DateTimeField(
        null=True, blank=True, help_text="Not started again before; after a crash."
    )
    watched_until = models.DateTimeField(
        null=True, blank=True, help_text="Somebody follows its screen until then."
    )
    seen_at = models.DateTimeField(
        null=True, blank=True, help_text="Last look at it; empty: judged since."
    )

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=AgentStatus.values), name="agent_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
