"""The swarm layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class SwarmConfig(AppConfig):
    """Registers the layer's messages, handlers and hooks with the layer below."""

    name = "swarm"
    default_auto_field = "django.db.models.BigAutoField"
