"""What an error of the client library means for whoever asked."""

from __future__ import annotations

import pytest
from pydantic_ai import exceptions

from p2p.protocol.errors import DomainError, ExternalError
from swarm.llm.failures import failure_of
from swarm.llm.providers import Endpoint

HERE = Endpoint("openai", "https://api.openai.com/v1", "m", "", True)
QUOTA = exceptions.ModelQuotaExceededError


@pytest.mark.parametrize(
    "error",
    [
        QUOTA("m", "no credit"),
        exceptions.ModelHTTPError.for_category(QUOTA, status_code=429, model_name="m"),
        exceptions.ModelRequestRejectedError("m", "too long"),
    ],
)
def test_what_no_wait_can_mend_is_refused(error: Exception) -> None:
    failure = failure_of(error, HERE)

    assert isinstance(failure.error, DomainError)
    assert (failure.outcome, failure.error.code) == ("refused", "llm_refused")


def test_a_wait_of_a_day_is_cut_to_an_hour() -> None:
    error = exceptions.ModelRateLimitError("m", "slow", retry_after=86_400)

    failure = failure_of(error, HERE)

    assert isinstance(failure.error, ExternalError)
    assert failure.error.retry_after_s == 3600.0


def test_a_bug_is_not_tried_again() -> None:
    failure = failure_of(KeyError("choices"), HERE)

    assert isinstance(failure.error, ExternalError)
    assert not failure.error.retryable
    assert (
        str(failure.error) == "m (openai at api.openai.com) could not be asked: KeyError: 'choices'"
    )
