"""One request to a model over the provider's own client library, streamed.

Importing this module takes seconds and 100 MB: only a worker that asks a model does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles import merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from swarm.llm.providers import ANTHROPIC, OLLAMA, Endpoint

ANSWER_TOOL = "answer"
CONNECT_S = 10.0
CHARS_PER_TOKEN = 4  # of what a provider does not count
_SENT_WITHOUT_KEY = "none"

OnChars = Callable[[int], Awaitable[None]]

# They would show requests whole where a variable of the environment asks them to.
for _name in ("anthropic", "openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a model was told before: its own answer, and what was wrong with it."""

    answer: str
    complaint: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked, the schema of its answer, and its limits (tokens, seconds)."""

    system: str
    text: str
    schema: dict[str, Any]
    output_tokens: int
    silence_s: float


@dataclass(slots=True)
class Received:
    """What came of one request, also of one that broke off: text, its end, and what it used."""

    text: str = ""
    chars: int = 0
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    answered: bool = False


@contextlib.asynccontextmanager
async def open_model(endpoint: Endpoint) -> AsyncIterator[Model]:
    """Open a client that sends our key and nothing from the environment, and never tries again."""
    async with httpx2.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        event_hooks={"request": [_only_our_key(endpoint)]},
    ) as http:
        yield _model(endpoint, http)


async def request(
    model: Model,
    prompt: Prompt,
    turn: Turn | None,
    received: Received,
    on_chars: OnChars,
) -> None:
    """Ask once and fill `received` while the answer comes.

    TimeoutError after `prompt.silence_s` without a word once the answer has begun; otherwise what
    the client library raises.
    """
    settings = ModelSettings(max_tokens=prompt.output_tokens, max_retries=0)
    async with model_request_stream(
        model,
        _messages(prompt, turn),
        model_settings=settings,
        model_request_parameters=_parameters(model, prompt),
        instrument=False,
    ) as stream:
        try:
            await _read(stream, prompt.silence_s, received, on_chars)
        finally:
            _count(stream.get(), received, _tokens_of(prompt, turn))


def _model(endpoint: Endpoint, http: httpx2.AsyncClient) -> Model:
    key = endpoint.key or _SENT_WITHOUT_KEY
    if endpoint.provider == ANTHROPIC:
        claude = AsyncAnthropic(
            api_key=key, base_url=endpoint.base_url, max_retries=0, http_client=http
        )
        return AnthropicModel(endpoint.model, provider=AnthropicProvider(anthropic_client=claude))
    client = AsyncOpenAI(
        api_key=key,
        organization="",
        project="",
        base_url=endpoint.base_url,
        max_retries=0,
        http_client=http,
    )
    if endpoint.provider == OLLAMA:
        ollama = OllamaProvider(openai_client=client)
        known = OllamaModel(endpoint.model, provider=ollama).profile
        return OllamaModel(
            endpoint.model, provider=ollama, profile=merge_profile(known, _strict_end(False))
        )
    openai = OpenAIProvider(openai_client=client)
    profile = merge_profile(openai.model_profile(endpoint.model), _strict_end(endpoint.is_own))
    return OpenAIChatModel(endpoint.model, provider=openai, profile=profile)


def _strict_end(new_limit: bool) -> OpenAIModelProfile:
    """Take a stream without an end for broken; servers like OpenAI's know only the old limit."""
    return OpenAIModelProfile(
        openai_chat_streaming_requires_finish_reason=True,
        openai_chat_supports_max_completion_tokens=new_limit,
    )


def _only_our_key(endpoint: Endpoint) -> Callable[[httpx2.Request], Any]:
    """Return a hook that drops whatever the client library took from the environment."""

    async def clean(outgoing: httpx2.Request) -> None:
        for name in ("authorization", "x-api-key", "openai-organization", "openai-project"):
            outgoing.headers.pop(name, None)
        if endpoint.key and endpoint.provider == ANTHROPIC:
            outgoing.headers["x-api-key"] = endpoint.key
        elif endpoint.key:
            outgoing.headers["authorization"] = f"Bearer {endpoint.key}"

    return clean


def _messages(prompt: Prompt, turn: Turn | None) -> list[ModelMessage]:
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(prompt.text)], instructions=prompt.system)
    ]
    if turn is None:
        return messages
    if turn.answer:
        messages.append(ModelResponse(parts=[TextPart(turn.answer)]))
    messages.append(
        ModelRequest(parts=[UserPromptPart(turn.complaint)], instructions=prompt.system)
    )
    return messages


def _parameters(model: Model, prompt: Prompt) -> ModelRequestParameters:
    """Ask Ollama for JSON by the schema, everybody else for a call of one tool.

    Ollama holds any local model to a schema while it writes, streams that, and knows tools only of
    some models; what it only forwards to its cloud is not held to anything.
    """
    if isinstance(model, OllamaModel) and model.profile.get("supports_json_schema_output"):
        shape = OutputObjectDefinition(json_schema=prompt.schema, name=ANSWER_TOOL)
        return ModelRequestParameters(output_mode="native", output_object=shape)
    tool = ToolDefinition(
        name=ANSWER_TOOL,
        parameters_json_schema=prompt.schema,
        description="Give the answer.",
        kind="output",
    )
    return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)


async def _read(
    stream: StreamedResponse,
    silence_s: float,
    received: Received,
    on_chars: OnChars,
) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as patience:
        async for event in stream:
            received.chars += _chars_of(event)
            await on_chars(received.chars)
            patience.reschedule(loop.time() + silence_s)
    received.answered = True


def _chars_of(event: object) -> int:
    if isinstance(event, PartStartEvent):
        part = event.part
        if isinstance(part, ToolCallPart):
            return len(part.args) if isinstance(part.args, str) else 0
        return len(part.content) if isinstance(part, TextPart | ThinkingPart) else 0
    if not isinstance(event, PartDeltaEvent):
        return 0
    delta = event.delta
    if isinstance(delta, ToolCallPartDelta):
        return len(delta.args_delta) if isinstance(delta.args_delta, str) else 0
    if isinstance(delta, TextPartDelta | ThinkingPartDelta):
        return len(delta.content_delta or "")
    return 0


def _count(response: ModelResponse, received: Received, asked_tokens: int) -> None:
    """Note what was said and used; by its length where the provider has not counted it."""
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    received.text = _arguments(calls[0]) if calls else "".join(texts)
    received.finish = response.finish_reason or ""
    usage = response.usage
    if not usage.input_tokens and (received.answered or received.chars):
        usage = RequestUsage(input_tokens=asked_tokens)
    if not (received.answered and usage.output_tokens):
        written = received.chars // CHARS_PER_TOKEN
        usage = replace(usage, output_tokens=max(usage.output_tokens, written))
    received.tokens_in, received.tokens_out = usage.input_tokens, usage.output_tokens
    response.usage = usage
    with contextlib.suppress(LookupError, ValueError, AssertionError):
        received.cost_usd = float(response.cost().total_price)


def _arguments(call: ToolCallPart) -> str:
    return call.args if isinstance(call.args, str) else call.args_as_json_str()


def _tokens_of(prompt: Prompt, turn: Turn | None) -> int:
    chars = len(prompt.system) + len(prompt.text)
    if turn is not None:
        chars += len(turn.answer) + len(turn.complaint)
    return chars // CHARS_PER_TOKEN
