"""The Celery application; jobs live in each app's `jobs.py`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "voidlux_site.settings")

app = Celery("voidlux")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(related_name="jobs")


@worker_shutting_down.connect
def leave_at_once_when_idle(**_: Any) -> None:
    """End an idle worker now: Celery's own way takes seconds, and there is nothing to save."""
    # Half a second of imports that only a worker needs.
    from celery.worker import state

    if not state.reserved_requests and not state.active_requests:
        os._exit(0)
