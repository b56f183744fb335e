"""The marketplace's tables in the admin; its actions call the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from marketplace.models import (
    BuyingPolicy,
    Execution,
    LedgerEntry,
    Offering,
    OfferingEvent,
    OfferingKey,
    Partner,
    Payment,
    Refusal,
    SellingPolicy,
    Tribute,
    Wallet,
)
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.deciding import block_buyer
from marketplace.services.offerings import withdraw_offering
from marketplace.services.partners import approve_partner
from marketplace.services.sales import accept_by_operator, reject_by_operator
from p2p.admin import ReadOnlyAdmin, frame_text
from p2p.clock import now_utc
from p2p.protocol.errors import DomainError

REJECT_REASON = "rejected in the admin"
CANCEL_REASON = "cancelled in the admin"
ACCEPTED = "accepted, as soon as the buyer's remote was tried"


class _ActingAdmin(ReadOnlyAdmin):
    def _each(
        self, request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any], object], done: str
    ) -> None:
        for row in rows:
            try:
                act(row)
            except DomainError as error:
                self.message_user(request, f"{row}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{row} is {done}")


@admin.register(Offering)
class OfferingAdmin(_ActingAdmin):
    """Idle agents for sale in the network."""

    list_display = ("id", "node_id", "swarm", "idle_agents", "price_per_task", "expires_at")
    list_filter = ("swarm", ("withdrawn_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "node_id", "swarm")
    actions = ("withdraw",)

    @admin.action(description="Withdraw and stop selling", permissions=["view"])
    def withdraw(self, request: HttpRequest, rows: QuerySet[Offering]) -> None:
        """Withdraw own offerings; those of others are named and left alone."""
        self._each(request, rows, lambda row: withdraw_offering(row.id, now=now_utc()), "withdrawn")


@admin.register(OfferingKey)
class OfferingKeyAdmin(ReadOnlyAdmin):
    """What offerings are found by."""

    list_display = ("capability", "price_per_task", "is_open", "offering")
    list_filter = ("is_open",)
    search_fields = ("capability",)
    list_select_related = ("offering",)


@admin.register(OfferingEvent)
class OfferingEventAdmin(ReadOnlyAdmin):
    """The history of this node's own offerings."""

    list_display = (
        *("created_at", "offering", "change", "reason"),
        *("idle_agents", "price_per_task"),
    )
    list_filter = ("change", "reason")
    list_select_related = ("offering",)


@admin.register(SellingPolicy)
class SellingPolicyAdmin(ReadOnlyAdmin):
    """Whether this node sells."""

    list_display = (
        *("selling", "agents_max", "agents_kept", "price_per_task"),
        *("hours", "acceptance", "requeue", "credit_limit"),
    )


@admin.register(BuyingPolicy)
class BuyingPolicyAdmin(ReadOnlyAdmin):
    """Whether this node hires by itself when its own agents are saturated."""

    list_display = ("overflow", "budget_per_day", "price_max", "strangers")


@admin.register(Partner)
class PartnerAdmin(_ActingAdmin):
    """What the operator decided about other nodes."""

    actions = ("approve", "block")

    list_display = ("node_id", "standing", "credit_limit", "decided_at", "note")
    list_filter = ("standing",)
    search_fields = ("node_id", "note")

    @admin.action(description="Approve: accept its requests without asking", permissions=["view"])
    def approve(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """Approve nodes; notes stay."""
        self._each(
            request,
            rows,
            lambda row: approve_partner(row.node_id, note=row.note, now=now_utc()),
            "approved",
        )

    @admin.action(description="Block: reject its requests at once", permissions=["view"])
    def block(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """Block nodes and reject what they wait for; notes stay."""
        self._each(
            request,
            rows,
            lambda row: block_buyer(row.node_id, note=row.note, now=now_utc()),
            "blocked",
        )


@admin.register(Tribute)
class TributeAdmin(_ActingAdmin):
    """Agreements about task executions."""

    list_display = ("id", "from_node_id", "to_node_id", "task_count", "total_cost", "status")
    list_filter = ("status", "reason_code", "policy")
    search_fields = ("id", "from_node_id", "to_node_id", "tx_hash", "repository")
    date_hierarchy = "created_at"
    exclude = ("request_frame", "answer_frame")
    readonly_fields = ("request_as_text", "answer_as_text")
    actions = ("accept", "accept_and_remember", "reject", "cancel")

    @admin.action(description="Accept once", permissions=["view"])
    def accept(self, request: HttpRequest, rows: QuerySet[Tribute]) -> None:
        """Accept requests that wait for this node, once their remotes were tried."""
        self._each(request, rows, lambda row: accept_by_operator(row.id, now=now_utc()), ACCEPTED)

    @admin.action(description="Accept and remember the buyer", permissions=["view"])
    def accept_and_remember(self, request: HttpRequest, rows: QuerySet[Tribute]) -> None:
        """Accept requests and approve their buyers for the future."""
        self._each(
            request,
            rows,
            lambda row: accept_by_operator(row.id, now=now_utc(), remember=True),
            ACCEPTED,
        )

    @admin.action(description="Reject", permissions=["view"])
    def reject(self, request: HttpRequest, rows: QuerySet[Tribute]) -> None:
        """Reject requests that wait for this node."""
        self._each(
            request,
            rows,
            lambda row: reject_by_operator(row.id, reason=REJECT_REASON, now=now_utc()),
            "rejected",
        )

    @admin.action(description="Cancel", permissions=["view"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Tribute]) -> None:
        """Cancel tributes of either side as far as their rules allow."""
        self._each(
            request,
            rows,
            lambda row: cancel_tribute(row.id, reason=CANCEL_REASON, now=now_utc()),
            "cancelled as far as it was not assigned",
        )

    @admin.display(description="request frame")
    def request_as_text(self, row: Tribute) -> SafeString | str:
        """Return the buyer's signed frame as text."""
        return frame_text(row.request_frame)

    @admin.display(description="answer frame")
    def answer_as_text(self, row: Tribute) -> SafeString | str:
        """Return the seller's signed frame as text."""
        return frame_text(row.answer_frame)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    """Tasks done under tributes."""

    list_display = ("title", "tribute", "run", "status", "commit", "opened_at", "closed_at")
    list_filter = ("status",)
    search_fields = ("title", "task_id", "commit")
    exclude = ("report_frame",)
    list_select_related = ("tribute",)


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Transfers between nodes with both signatures."""

    list_display = ("id", "payer_node_id", "payee_node_id", "amount", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("id", "payer_node_id", "payee_node_id")
    exclude = ("propose_frame", "vote_frame")
    readonly_fields = ("propose_as_text", "vote_as_text")

    @admin.display(description="propose frame")
    def propose_as_text(self, row: Payment) -> SafeString | str:
        """Return the payer's signed frame as text."""
        return frame_text(row.propose_frame)

    @admin.display(description="vote frame")
    def vote_as_text(self, row: Payment) -> SafeString | str:
        """Return the payee's signed frame as text."""
        return frame_text(row.vote_frame)


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    """This node's balance."""

    list_display = ("balance", "held")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """The wallet's immutable history."""

    list_display = (
        *("id", "kind", "amount", "balance_after", "held_after"),
        *("counterparty_node_id", "created_at"),
    )
    list_filter = ("kind",)
    search_fields = ("reference", "tribute_id", "counterparty_node_id", "note")


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    """What was refused to other nodes."""

    list_display = ("at", "node_id", "subject", "code", "reason")
    list_filter = ("subject", "code")
    search_fields = ("node_id",)
