"""The admin's name, and the site's own table in it."""

from __future__ import annotations

from django.contrib import admin

from p2p.admin import ReadOnlyAdmin
from voidlux_site.models import StoredAnswer

admin.site.site_header = "VoidLux records"
admin.site.site_title = "VoidLux"
admin.site.index_title = "Everything this node keeps"
admin.site.site_url = "/"


@admin.register(StoredAnswer)
class StoredAnswerAdmin(ReadOnlyAdmin):
    """Answers to POSTs with an Idempotency-Key."""

    list_display = ("key", "operation", "status", "created_at")
    search_fields = ("key", "operation")
