"""The dialogs of the dashboard: a form, one service call, and its refusal shown inline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.posts.queries import last_author
from p2p.posts.services import publish_post
from p2p.protocol.errors import DomainError
from swarm.errors import NotEmperor
from swarm.models import Task
from swarm.services.agents import register_agent, register_agents
from swarm.services.goals import GoalRequest, create_goal
from voidlux_site.dashboard.answers import saved, staff_only
from voidlux_site.dashboard.forms import (
    OUTLINE_EXAMPLE,
    AgentForm,
    GoalForm,
    PostForm,
)

Submit = Callable[[dict[str, Any]], HttpResponse]


@require_http_methods(["GET", "POST"])
@staff_only
def goal(request: HttpRequest) -> HttpResponse:
    """Submit a new goal."""
    last = Task.objects.filter(parent__isnull=True).order_by("-created_at").first()
    initial = {
        "test_command": settings.ENVIRONMENT.test_command,
        "repository": last.repository if last else "",
    }
    form = GoalForm(request.POST or None, initial=initial)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        # A field that was never filled leaves it to the repository; one that was emptied does not.
        if not fields["test_command"] and not settings.ENVIRONMENT.test_command:
            fields["test_command"] = None
        created = create_goal(GoalRequest(**fields), now=now_utc())
        return saved(f"{created.title} is submitted", "tasks")

    return answer(request, "goal", form, submit, {"example": OUTLINE_EXAMPLE})


@require_http_methods(["GET", "POST"])
@staff_only
def agent(request: HttpRequest) -> HttpResponse:
    """Register an agent, or several at once."""
    form = AgentForm(request.POST or None)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        name, count = fields.pop("name"), fields.pop("count")
        if count == 1:
            register_agent(name=name, **fields, now=now_utc())
            return saved(f"{name} is registered", "agents")
        register_agents(prefix=name, count=count, **fields, now=now_utc())
        return saved(f"{count} agents are registered", "agents")

    return answer(request, "agent", form, submit, {})


@require_http_methods(["GET", "POST"])
@staff_only
def post(request: HttpRequest) -> HttpResponse:
    """Write on the wall."""
    own = local_node()
    form = PostForm(request.POST or None, initial={"author": last_author(own.node_id) or own.swarm})

    def submit(fields: dict[str, Any]) -> HttpResponse:
        publish_post(**fields, now=now_utc())
        return saved("The post is on the wall", "posts")

    return answer(request, "post", form, submit, {})


def answer(
    request: HttpRequest, name: str, form: Form, submit: Submit, context: dict[str, Any]
) -> HttpResponse:
    """Show the dialog, or submit it; a mistake or a refusal shows it again with the reason."""
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                return submit(form.cleaned_data)
            except NotEmperor:
                raise
            except DomainError as error:
                form.add_error(None, error.message)
    return render(
        request, f"dashboard/dialogs/{name}.html", {**context, "form": form}, status=status
    )
