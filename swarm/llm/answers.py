"""What a model said, as the object that it was asked for, or a complaint that it can answer to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from p2p.protocol.errors import DomainError

T = TypeVar("T", bound=BaseModel)

ERRORS_NAMED_MAX = 12


class Unusable(Exception):
    """An answer that cannot be used; the message tells the model why."""


def read_answer(text: str, shape: type[T], check: Callable[[T], None]) -> T:
    """Return the object in `text`, checked; Unusable with words for the model.

    A model that was to call a tool may have written a message with the same object in it.
    """
    if not text.strip():
        raise Unusable("The answer was empty.")
    try:
        found = shape.model_validate_json(_object_in(text))
    except ValidationError as error:
        raise Unusable(_complaint(error)) from None
    try:
        check(found)
    except DomainError as error:
        raise Unusable(error.message) from None
    except ValueError as error:
        raise Unusable(str(error)) from None
    return found


def _object_in(text: str) -> str:
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _complaint(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}"
        for each in found[:ERRORS_NAMED_MAX]
    ]
    if len(found) > ERRORS_NAMED_MAX:
        lines.append(f"and {len(found) - ERRORS_NAMED_MAX} more")
    return "\n".join(lines)
