"""The marketplace layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """Registers the layer's messages, handlers and hooks with the layer below."""

    name = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"
