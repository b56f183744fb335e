"""The swarm's tables in the admin; their actions call services."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from p2p.admin import ReadOnlyAdmin
from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.election.abdication import abdicate
from swarm.forge.services import retry_pull
from swarm.models import (
    Agent,
    Attempt,
    Delivery,
    ElectionState,
    FlakyTest,
    FollowUp,
    Job,
    KnownTerm,
    LlmCall,
    McpToken,
    MemberPulse,
    MergeRun,
    PullRequest,
    RemoteAgent,
    Review,
    ReviewComment,
    SeenDispatch,
    Task,
    TaskCopy,
    TaskEvent,
    TestRun,
    Usage,
)
from swarm.services.goals import cancel_task

CANCEL_REASON = "cancelled in the admin"


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    """Goals and subtasks."""

    list_display = ("id8", "title", "status", "parent", "attempt", "assigned_agent", "updated_at")
    list_filter = ("status", ("parent", admin.EmptyFieldListFilter), "base_red")
    search_fields = ("id", "title", "repository", "assigned_node")
    list_select_related = ("parent",)
    date_hierarchy = "created_at"
    ordering = ("-created_at", "number")
    actions = ("cancel",)

    @admin.action(description="Cancel the selected tasks", permissions=["view"])
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        """Cancel each task; those that have ended are named and left alone."""
        for task in tasks:
            try:
                cancel_task(task.id, reason=CANCEL_REASON, now=now_utc())
            except DomainError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.message_user(request, f"{task} is cancelled")


@admin.register(TaskEvent)
class TaskEventAdmin(ReadOnlyAdmin):
    """The history of every task."""

    list_display = ("at", "task", "source", "target", "by", "reason")
    list_filter = ("by", "target")
    search_fields = ("task__id", "task__title", "reason")
    list_select_related = ("task",)
    ordering = ("-id",)


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Agents of this node."""

    list_display = ("name", "tool", "status", "source", "rule", "status_since", "reserved_for")
    list_filter = ("status", "tool")
    search_fields = ("name", "reserved_for")


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Runs of tasks by this node's agents."""

    list_display = ("branch", "title", "number", "status", "agent", "created_at", "ended_at")
    list_filter = ("status",)
    search_fields = ("task_id", "title", "branch", "commit", "assigner_node_id")
    list_select_related = ("agent",)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Slow work and its tries."""

    list_display = ("id", "kind", "key", "status", "attempts", "due_at", "short_error")
    list_filter = ("status", "kind")
    search_fields = ("key", "lane", "error")
    ordering = ("-id",)

    @admin.display(description="error")
    def short_error(self, job: Job) -> str:
        """Return the first line of the error."""
        return job.error.partition("\n")[0][:120]


@admin.register(TestRun)
class TestRunAdmin(ReadOnlyAdmin):
    """Runs of test commands."""

    list_display = ("at", "goal", "commit", "command", "state", "exit_code", "duration_ms")
    list_filter = ("state", "sandboxed")
    search_fields = ("commit", "command", "goal__title")
    list_select_related = ("goal",)
    ordering = ("-id",)


@admin.register(FlakyTest)
class FlakyTestAdmin(ReadOnlyAdmin):
    """Tests that were red and green on the same work."""

    list_display = ("last_at", "repository", "command", "name", "flaky_times", "runs_seen")
    search_fields = ("repository", "command", "name")


@admin.register(MergeRun)
class MergeRunAdmin(ReadOnlyAdmin):
    """Batches of the merge gate."""

    list_display = ("at", "goal", "outcome", "base_commit", "head_commit", "test_run")
    list_filter = ("outcome",)
    search_fields = ("base_commit", "head_commit", "goal__title")
    list_select_related = ("goal", "test_run__goal")
    ordering = ("-id",)


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    """Reviews of reported commits."""

    list_display = ("created_at", "task", "attempt", "commit", "state", "by", "decided_at")
    list_filter = ("state",)
    search_fields = ("commit", "task__title", "by", "reasons")
    list_select_related = ("task", "test_run__goal")
    ordering = ("-created_at",)


@admin.register(McpToken)
class McpTokenAdmin(ReadOnlyAdmin):
    """Tokens of agents, by their hash."""

    list_display = ("agent", "attempt", "issued_at", "used_at")
    search_fields = ("agent__name", "attempt__branch")
    list_select_related = ("agent", "attempt")
    fields = ("agent", "attempt", "issued_at", "used_at")


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    """What attempts used."""

    list_display = ("at", "attempt", "tokens_in", "tokens_out", "cost_micros", "source")
    list_filter = ("source",)
    search_fields = ("attempt__branch", "attempt__title")
    list_select_related = ("attempt",)
    ordering = ("-id",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Texts on their way into the terminals of agents."""

    list_display = ("queued_at", "agent", "kind", "status", "tries", "reason")
    list_filter = ("kind", "status")
    search_fields = ("agent__name", "text", "reason")
    list_select_related = ("agent",)
    ordering = ("-queued_at",)


@admin.register(TaskCopy)
class TaskCopyAdmin(ReadOnlyAdmin):
    """Tasks of other members, as their records say."""

    list_display = ("id", "emperor_node_id", "number", "status", "updated_at", "archived_at")
    list_filter = ("status",)
    search_fields = ("id", "emperor_node_id", "progress")
    ordering = ("-updated_at",)


@admin.register(RemoteAgent)
class RemoteAgentAdmin(ReadOnlyAdmin):
    """Agents of other members, as their records say."""

    list_display = ("name", "node_id", "tool", "status", "available", "status_since")
    list_filter = ("status", "tool")
    search_fields = ("name", "node_id")


@admin.register(MemberPulse)
class MemberPulseAdmin(ReadOnlyAdmin):
    """When members were heard of last."""

    list_display = ("node_id", "seen_at", "lamport_ts")
    search_fields = ("node_id",)


@admin.register(LlmCall)
class LlmCallAdmin(ReadOnlyAdmin):
    """What language models were asked, and what came of it."""

    list_display = (
        "started_at",
        "purpose",
        "model",
        "outcome",
        "tokens_in",
        "tokens_out",
        "cost_micros",
    )
    list_filter = ("purpose", "outcome", "provider")
    search_fields = ("model", "error", "task__title")


@admin.register(KnownTerm)
class KnownTermAdmin(ReadOnlyAdmin):
    """Emperors and their terms."""

    list_display = ("node_id", "counter", "in_office", "known_at", "http_port")
    search_fields = ("node_id",)
    actions = ("give_up_office",)

    @admin.action(description="Let this node give the office up", permissions=["view"])
    def give_up_office(self, request: HttpRequest, rows: QuerySet[KnownTerm]) -> None:
        """Abdicate where this node's own term is selected; another's is not ours to end."""
        if not rows.filter(node_id=local_node().node_id).exists():
            self.message_user(request, "select this node's own term", messages.ERROR)
            return
        try:
            abdicate(now_utc())
        except DomainError as error:
            self.message_user(request, error.message, messages.ERROR)
        else:
            self.message_user(request, "the others elect")


@admin.register(ElectionState)
class ElectionStateAdmin(ReadOnlyAdmin):
    """How the election stands at this node."""

    list_display = ("standing", "emperor_node_id", "counter", "since", "heard_at")


@admin.register(SeenDispatch)
class SeenDispatchAdmin(ReadOnlyAdmin):
    """The newest dispatch of each task that was seen here."""

    list_display = ("task_id", "scope", "generation", "seen_at")
    search_fields = ("task_id", "scope")


@admin.register(PullRequest)
class PullRequestAdmin(ReadOnlyAdmin):
    """Pull requests of goals."""

    list_display = ("title", "project", "number", "state", "checks", "tries", "updated_at")
    list_filter = ("state", "kind", "checks", "auto_merge")
    search_fields = ("title", "project", "url", "head_branch", "head_commit")
    actions = ("retry",)

    @admin.action(description="Try the selected pull requests again", permissions=["view"])
    def retry(self, request: HttpRequest, pulls: QuerySet[PullRequest]) -> None:
        """Take each up again; those that did not fail are named and left alone."""
        for pull in pulls:
            try:
                retry_pull(pull.id, now=now_utc())
            except DomainError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.message_user(request, f"{pull} is tried again")


@admin.register(FollowUp)
class FollowUpAdmin(ReadOnlyAdmin):
    """Goals that were made of review comments."""

    list_display = ("created_at", "pull_request", "round", "goal", "delivered_commit", "ended_at")
    search_fields = ("goal__title", "pull_request__title", "delivered_commit")
    list_select_related = ("goal", "pull_request")
    ordering = ("-id",)


@admin.register(ReviewComment)
class ReviewCommentAdmin(ReadOnlyAdmin):
    """Comments of others on pull requests."""

    list_display = ("written_at", "pull_request", "author", "may_steer", "path", "follow_up")
    list_filter = ("may_steer",)
    search_fields = ("author", "path", "body")
    list_select_related = ("pull_request", "follow_up__pull_request")
    ordering = ("-id",)
