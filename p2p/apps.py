"""The peer-to-peer layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class P2pConfig(AppConfig):
    """Binds the protocol and the mesh to Django's database."""

    name = "p2p"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Mesh"
