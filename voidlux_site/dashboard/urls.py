"""The addresses of the dashboard."""

from __future__ import annotations

from django.urls import path

from voidlux_site.dashboard import (
    agent_details,
    contributions,
    dialogs,
    election,
    login,
    plans,
    reviews,
    task_details,
    views,
)
from voidlux_site.dashboard.market import urls as market

urlpatterns = [
    path("", views.page, name="dashboard"),
    path("parts/<slug:name>", views.part, name="part"),
    path("contributions", contributions.page, name="contributions"),
    path("pull-requests/<uuid:pull_id>/retry", contributions.retry, name="retry-pull"),
    path("pull-requests/<uuid:pull_id>/sync", contributions.sync, name="sync-pull"),
    path("login", login.explain, name="login"),
    path("login/<str:token>", login.enter, name="login-link"),
    path("logout", login.leave, name="logout"),
    path("goals/new", dialogs.goal, name="new-goal"),
    path("tasks/<uuid:task_id>", task_details.show, name="task"),
    path("tasks/<uuid:task_id>/facts", task_details.facts, name="task-facts"),
    path("tasks/<uuid:task_id>/cancel", task_details.cancel, name="cancel-task"),
    path("tasks/<uuid:task_id>/requeue", task_details.requeue, name="requeue-task"),
    path("tasks/<uuid:task_id>/archive", task_details.archive, name="archive-task"),
    path("tasks/<uuid:task_id>/answer", task_details.answer, name="answer-task"),
    path("tasks/<uuid:task_id>/plan", plans.show, name="plan"),
    path("agents/new", dialogs.agent, name="new-agent"),
    path("agents/<uuid:agent_id>", agent_details.show, name="agent"),
    path("agents/<uuid:agent_id>/facts", agent_details.facts, name="agent-facts"),
    path("agents/<uuid:agent_id>/send", agent_details.send, name="send-text"),
    path("agents/<uuid:agent_id>/choose", agent_details.choose, name="choose"),
    path("agents/<uuid:agent_id>/interrupt", agent_details.interrupt, name="interrupt"),
    path("agents/<uuid:agent_id>/restart", agent_details.restart, name="restart-agent"),
    path("agents/<uuid:agent_id>/pause", agent_details.pause, name="pause-agent"),
    path("agents/<uuid:agent_id>/resume", agent_details.resume, name="resume-agent"),
    path("agents/<uuid:agent_id>/remove", agent_details.remove, name="remove-agent"),
    path("deliveries/<uuid:delivery_id>/retry", agent_details.retry, name="retry-delivery"),
    path("reviews/<uuid:review_id>", reviews.show, name="review"),
    path("reviews/<uuid:review_id>/accept", reviews.accept, name="accept-review"),
    path("election/abdicate", election.give_up, name="abdicate"),
    path("posts/new", dialogs.post, name="new-post"),
    path("posts/<uuid:post_id>/remove", views.remove_from_wall, name="remove-post"),
    *market.urlpatterns,
]
