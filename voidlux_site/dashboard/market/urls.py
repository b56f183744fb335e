"""The addresses of the market."""

from __future__ import annotations

from django.urls import path

from voidlux_site.dashboard.market import dialogs, views

urlpatterns = [
    path("market", views.page, name="market"),
    path("selling", dialogs.selling, name="selling"),
    path("selling/on", views.sell, name="sell-on"),
    path("selling/off", views.withdraw, name="withdraw"),
    path("buying", dialogs.buying, name="buying"),
    path("offerings/<uuid:offering_id>/tribute", dialogs.tribute, name="new-tribute"),
    path("tributes/<uuid:tribute_id>/accept", views.accept, name="accept-tribute"),
    path("tributes/<uuid:tribute_id>/remember", views.remember, name="remember-tribute"),
    path("tributes/<uuid:tribute_id>/block", views.block, name="block-tribute"),
    path("tributes/<uuid:tribute_id>/reject", dialogs.reject, name="reject-tribute"),
    path("tributes/<uuid:tribute_id>/cancel", views.cancel, name="cancel-tribute"),
    path("partners/new", dialogs.new_partner, name="new-partner"),
    path("partners/<slug:node_id>", dialogs.partner, name="partner"),
]
