"""The addresses of the dashboard."""

from __future__ import annotations

from django.urls import path

from voidlux_site.dashboard import dialogs, login, views

urlpatterns = [
    path("", views.page, name="dashboard"),
    path("parts/<slug:name>", views.part, name="part"),
    path("login", login.explain, name="login"),
    path("login/<str:token>", login.enter, name="login-link"),
    path("logout", login.leave, name="logout"),
    path("goals/new", dialogs.goal, name="new-goal"),
    path("tasks/<uuid:task_id>/cancel", views.cancel, name="cancel-task"),
    path("agents/new", dialogs.agent, name="new-agent"),
    path("agents/<uuid:agent_id>/remove", views.remove, name="remove-agent"),
    path("agents/<uuid:agent_id>/terminal", views.terminal, name="terminal"),
    path("posts/new", dialogs.post, name="new-post"),
    path("posts/<uuid:post_id>/remove", views.remove_from_wall, name="remove-post"),
    path("offerings/new", dialogs.sell, name="sell"),
    path("offerings/withdraw", views.withdraw, name="withdraw"),
    path("offerings/<uuid:offering_id>/tribute", dialogs.tribute, name="new-tribute"),
    path("tributes/<uuid:tribute_id>/accept", views.accept, name="accept-tribute"),
    path("tributes/<uuid:tribute_id>/reject", dialogs.reject, name="reject-tribute"),
    path("tributes/<uuid:tribute_id>/cancel", views.cancel_purchase, name="cancel-tribute"),
]
