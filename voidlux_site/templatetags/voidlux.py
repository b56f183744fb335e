"""How the dashboard writes ids, amounts, moments and statuses."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django import template
from django.template.loader import get_template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from swarm.budgets.money import shown_usd
from voidlux_site.dashboard.market.words import ENDS, REASONS
from voidlux_site.dashboard.phases import tone_of

register = template.Library()

SHORT_CHARS = 8
_WORDS = {"in_progress": "in progress", "waiting_input": "waiting for input"}


@register.filter
def short(identity: UUID | str | None) -> str:
    """Return the first 8 characters of an id, commit or hash."""
    text = identity.hex if isinstance(identity, UUID) else (identity or "")
    return text.removeprefix("0x")[:SHORT_CHARS]


@register.filter
def amount(value: int | None) -> str:
    """Return a whole number with commas between thousands."""
    return f"{value or 0:,}"


@register.filter
def usd(micros: int | None) -> str:
    """Return millionths of a US dollar as an amount of money."""
    return shown_usd(micros or 0)


@register.filter
def words(status: str) -> str:
    """Return a status in words."""
    return _WORDS.get(status, status.replace("_", " "))


@register.filter
def reason_words(code: str) -> str:
    """Return why a tribute ended, as a clause; a code of another version as it came."""
    return REASONS.get(code, code.replace("_", " "))


@register.filter
def end_words(code: str) -> str:
    """Return why an offering ended, as a clause."""
    return ENDS.get(code, code.replace("_", " "))


@register.filter
def tone(status: str) -> str:
    """Return the tone of a status: good, active, wait, bad or mute."""
    return tone_of(status)


@register.filter
def compact(value: Any) -> str:
    """Return a piece of evidence in one line: lists joined, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


@register.simple_tag(takes_context=True)
def inside(context: template.Context, part: dict[str, Any]) -> str:
    """Return the inside of a part, drawn with the part's own context alone."""
    return get_template(part["part"].template).render(part, context.get("request"))


@register.simple_tag
def badge(status: str, tone_as: str = "") -> SafeString:
    """Return a status as a coloured badge; `tone_as` is a status whose tone is used instead."""
    return format_html(
        '<span class="badge" data-tone="{}">{}</span>', tone_of(tone_as or status), words(status)
    )


@register.simple_tag
def agent_badge(status: str) -> SafeString:
    """Return an agent's status as a badge: a blocked agent, unlike a blocked task, needs a person.

    The words are those of every other status.
    """
    return badge(status, "waiting_input" if status == "blocked" else "")


@register.simple_tag
def ago(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return how long ago a moment was; the page keeps it current."""
    if moment is None:
        return ""
    return _time(moment, "ago", f"{age(int((now - moment).total_seconds()))} ago")


@register.simple_tag
def until(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return how long it is to a moment; the page counts it down."""
    if moment is None:
        return ""
    return _time(moment, "until", countdown(int((moment - now).total_seconds())))


def age(seconds: int) -> str:
    """Return a duration in its largest whole unit."""
    left = max(0, seconds)
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if left >= unit_s:
            return f"{left // unit_s} {unit}"
    return f"{left} s"


def countdown(seconds: int) -> str:
    """Return a duration as minutes and seconds, or as hours and minutes from an hour on."""
    left = max(0, seconds)
    if left >= 3600:
        return f"{left // 3600} h {left % 3600 // 60:02d} min"
    return f"{left // 60}:{left % 60:02d}"


def _time(moment: datetime, kind: str, text: str) -> SafeString:
    iso = moment.isoformat().replace("+00:00", "Z")
    return format_html(
        '<time datetime="{}" data-time="{}" title="{}">{}</time>',
        iso,
        kind,
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        text,
    )


@register.simple_tag
def node_name(node_id: str, own_id: str) -> SafeString | str:
    """Return a node as its short id, or `this node`."""
    if not node_id:
        return ""
    if node_id == own_id:
        return format_html('<span class="node own" title="{}">this node</span>', node_id)
    return format_html('<span class="node" title="{}">{}</span>', node_id, short(node_id))


@register.filter
def attribute(item: Any, name: str) -> Any:
    """Return an entry of a mapping by a computed name."""
    return item[name]
