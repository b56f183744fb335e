"""The peer-to-peer layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class P2pConfig(AppConfig):
    """Binds the protocol and the mesh to Django's database."""

    name = "p2p"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Mesh"

    def ready(self) -> None:
        """Register discovery and the wall; nothing touches the database here."""
        from p2p.discovery.messages import Pex
        from p2p.posts import messages, topic
        from p2p.registration import Topic, register_topic, registry

        registry.register(Pex)
        register_topic(
            Topic(
                name=messages.TOPIC,
                classes=(messages.Post, messages.PostRemove),
                authority=topic.authority_of,
                apply=topic.apply_records,
                expires_at=topic.expires_at_of,
                sync=messages.SYNC,
                forget=topic.forget,
            )
        )
