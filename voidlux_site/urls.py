"""The addresses of the site."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

import voidlux_site.admin  # noqa: F401 # names the admin before its first page
from voidlux_site.api.application import api


def health(request: HttpRequest) -> JsonResponse:
    """Answer that this process serves requests."""
    return JsonResponse({"status": "ok"})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("health", health, name="health"),
    path("", include("voidlux_site.dashboard.urls")),
]
