"""The Django application that joins the three layers."""

from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """The composing layer: settings, node, API, dashboard and commands."""

    name = "voidlux_site"
    default_auto_field = "django.db.models.BigAutoField"
