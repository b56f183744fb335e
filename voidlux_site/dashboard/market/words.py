"""Codes of the marketplace in plain words."""

from __future__ import annotations

from marketplace.states import EndReason, RejectCode

REASONS: dict[str, str] = {
    RejectCode.OFFERING_GONE: "the offering had ended",
    RejectCode.NO_IDLE_AGENTS: "too few idle agents",
    RejectCode.WRONG_PRICE: "the price had changed",
    RejectCode.WRONG_POLICY: "the terms had changed",
    RejectCode.BAD_REPOSITORY: "the repository’s address cannot be used",
    RejectCode.REMOTE_NOT_WRITABLE: "the seller cannot push to the repository",
    RejectCode.NOT_ALLOWED: "the seller does not sell to this buyer",
    RejectCode.BUYER_LIMIT: "too many tasks of this buyer are open",
    RejectCode.CREDIT_LIMIT: "the buyer would owe too much",
    RejectCode.OUTSIDE_HOURS: "outside the selling hours",
    RejectCode.REFUSED: "refused by the operator",
    RejectCode.EXPIRED: "not answered in time",
    RejectCode.INTERNAL: "the seller could not try the repository",
    "cancelled": "cancelled by the buyer",
    "cancelled_by_seller": "cancelled by the seller",
    "lapsed": "nothing was assigned in time",
    "unused": "nothing of it was used",
    "no_accepted_result": "no result was accepted",
}
ENDS: dict[str, str] = {
    EndReason.OPERATOR: "selling was switched off",
    EndReason.OUTSIDE_HOURS: "the selling hours ended",
    EndReason.SOLD_OUT: "all were sold",
    EndReason.NO_IDLE_AGENTS: "no agent was idle any more",
    EndReason.NO_SANDBOX: "there was no sandbox",
    EndReason.SHUTDOWN: "the node was stopped",
    EndReason.REPLACED: "another offering replaced it",
    EndReason.EXPIRED: "not renewed in time",
}
