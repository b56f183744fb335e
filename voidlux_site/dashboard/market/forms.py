"""The forms of the market; limits are those of the services behind them."""

from __future__ import annotations

from typing import Any

from django import forms

from marketplace.services.admission import TASK_COUNT_MAX
from marketplace.services.partners import NODE_ID_CHARS
from marketplace.services.selling import EXECUTIONS_PER_BUYER_MAX
from marketplace.states import Acceptance, RequeuePolicy, Standing
from p2p.protocol.limits import AMOUNT_MAX
from swarm.models import Task
from swarm.services.agents import AGENTS_MAX
from voidlux_site.dashboard.forms import listed

ACCEPTANCE = [
    (Acceptance.AUTO, "Partners by themselves, ask me about strangers"),
    (Acceptance.ALLOWLIST, "Only nodes in VOIDLUX_ALLOW_NODES, reject all others"),
    (Acceptance.MANUAL, "Ask me about every request"),
]
REQUEUE = [
    (RequeuePolicy.ACCEPTED_RESULT, "One accepted result, re-runs included"),
    (RequeuePolicy.EXECUTION, "Each run whose commit the remote shows"),
]
STANDINGS = [
    (Standing.STRANGER, "Stranger: as the selling policy says"),
    (Standing.APPROVED, "Approved: accept without asking"),
    (Standing.BLOCKED, "Blocked: reject at once"),
]


class SellingForm(forms.Form):
    """The whole selling policy."""

    selling = forms.BooleanField(
        label="Sell idle agents",
        required=False,
        help_text="Own work comes first: only agents that nothing here waits for are offered.",
    )
    price_per_task = forms.IntegerField(
        label="Price per task (VOID)",
        min_value=0,
        max_value=AMOUNT_MAX,
        help_text="What is agreed on keeps its price.",
    )
    agents_max = forms.IntegerField(
        label="Agents sold at once",
        min_value=1,
        max_value=AGENTS_MAX,
        help_text=f"Offered or at work for buyers, 1 to {AGENTS_MAX}.",
    )
    agents_kept = forms.IntegerField(
        label="Idle agents kept",
        min_value=0,
        max_value=AGENTS_MAX,
        help_text=f"So many stay free for own work, 0 to {AGENTS_MAX}.",
    )
    hours = forms.CharField(
        label="Hours",
        required=False,
        max_length=11,
        help_text="When new work is taken; empty: always. Running work goes on.",
        widget=forms.TextInput(attrs={"placeholder": "22:00-06:00"}),
    )
    capabilities = forms.CharField(
        label="Only agents that can",
        required=False,
        max_length=1000,
        help_text="All of these, separated by commas; empty: any agent.",
        widget=forms.TextInput(attrs={"placeholder": "python, testing", "class": "wide"}),
    )
    acceptance = forms.ChoiceField(
        label="Accept requests of",
        choices=ACCEPTANCE,
        widget=forms.Select(attrs={"class": "wide"}),
        help_text="Partners are in VOIDLUX_ALLOW_NODES or approved on this page.",
    )
    requeue = forms.ChoiceField(
        label="The price covers",
        choices=REQUEUE,
        widget=forms.Select(attrs={"class": "wide"}),
    )
    executions_per_buyer_max = forms.IntegerField(
        label="Tasks open per buyer",
        min_value=1,
        max_value=EXECUTIONS_PER_BUYER_MAX,
        help_text=f"Agreed on and not settled, 1 to {EXECUTIONS_PER_BUYER_MAX:,}.",
    )
    credit_limit = forms.IntegerField(
        label="Credit per buyer (VOID)",
        min_value=0,
        max_value=AMOUNT_MAX,
        help_text="What one buyer may owe; a partner may have a limit of its own.",
    )
    api_keys = forms.BooleanField(
        label="My agents run on API keys that may serve others",
        required=False,
        help_text="Your word to buyers. Subscriptions of most agent programs do not allow it.",
    )

    def clean_capabilities(self) -> list[str]:
        """Return the trimmed, non-empty parts."""
        return listed(self.cleaned_data["capabilities"])


class BuyingForm(forms.Form):
    """The whole buying policy."""

    overflow = forms.BooleanField(
        label="Buy by itself",
        required=False,
        help_text="When work has waited for 10 s and no agent of the swarm is free for it.",
    )
    budget_per_day = forms.IntegerField(
        label="Budget per day (VOID)",
        min_value=0,
        max_value=AMOUNT_MAX,
        help_text="Held or spent in any 24 hours; what is released counts again.",
    )
    price_max = forms.IntegerField(
        label="Highest price per task (VOID)", min_value=0, max_value=AMOUNT_MAX
    )
    strangers = forms.BooleanField(
        label="Also from strangers",
        required=False,
        help_text="Sellers that are neither in VOIDLUX_ALLOW_NODES nor approved.",
    )


class TributeForm(forms.Form):
    """How many tasks of which goal are bought under an offering."""

    goal = forms.ChoiceField(help_text="Its open subtasks are sent to the seller.")
    task_count = forms.IntegerField(
        label="Tasks to buy", min_value=1, max_value=TASK_COUNT_MAX, initial=1
    )

    def __init__(self, *args: Any, goals: list[Task], **kwargs: Any) -> None:
        """Take the goals to choose from."""
        super().__init__(*args, **kwargs)
        choices = [(goal.id.hex, f"{goal.title} ({goal.id8})") for goal in goals]
        self.fields["goal"].choices = choices  # type: ignore[attr-defined]


class ReasonForm(forms.Form):
    """Why a tribute is rejected."""

    reason = forms.CharField(
        max_length=500, initial="not now", help_text="The buyer sees this sentence."
    )


class PartnerForm(forms.Form):
    """What is decided about a node."""

    standing = forms.ChoiceField(label="Its requests", choices=STANDINGS)
    credit_limit = forms.IntegerField(
        label="It may owe (VOID)",
        required=False,
        min_value=0,
        max_value=AMOUNT_MAX,
        help_text="Empty: as much as the selling policy says.",
    )
    note = forms.CharField(required=False, max_length=200, help_text="For you alone.")


class NewPartnerForm(PartnerForm):
    """The same about a node that is named here."""

    node_id = forms.RegexField(
        label="Node id",
        regex=r"\A[0-9a-f]{32}\Z",
        max_length=NODE_ID_CHARS,
        error_messages={"invalid": "A node id is 32 characters from 0 to 9 and a to f."},
        widget=forms.TextInput(attrs={"class": "code", "spellcheck": "false"}),
    )
    field_order = ("node_id",)
