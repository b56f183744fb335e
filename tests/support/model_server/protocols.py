"""The streams of three providers, as their clients parse them: requests read, answers written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tests.support.model_server.script import FAREWELL, Call, Conversation

Event = tuple[str | None, dict[str, Any] | str]


class ProviderProtocol(Protocol):
    """Reads a provider's request and writes its answer."""

    def read(self, body: dict[str, Any]) -> Conversation:
        """Return what a request says."""
        ...

    def answer(self, body: dict[str, Any], call: Call | None, number: int) -> Iterator[Event]:
        """Yield the server-sent events (name or None, data) of an answer."""
        ...


class AnthropicMessages:
    """POST /v1/messages with `stream`."""

    def read(self, body: dict[str, Any]) -> Conversation:
        """Return text blocks, tool names and tool results."""
        texts, results = [], []
        for message in body["messages"]:
            for block in _blocks(message["content"]):
                if block["type"] == "tool_result":
                    results.append(_flat(block.get("content", "")))
                elif block["type"] == "text":
                    texts.append(block["text"])
        tools = [tool["name"] for tool in body.get("tools") or []]
        return Conversation("\n".join(texts), tools, results)

    def answer(self, body: dict[str, Any], call: Call | None, number: int) -> Iterator[Event]:
        """Yield one message with one content block."""
        start: dict[str, Any] = {"type": "text", "text": ""}
        delta: dict[str, Any] = {"type": "text_delta", "text": FAREWELL}
        if call is not None:
            start = {"type": "tool_use", "id": f"toolu_{number}", "name": call.tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        message = {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": body["model"],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }
        yield _typed("message_start", message=message)
        yield _typed("content_block_start", index=0, content_block=start)
        yield _typed("content_block_delta", index=0, delta=delta)
        yield _typed("content_block_stop", index=0)
        reason = "tool_use" if call else "end_turn"
        ended = {"stop_reason": reason, "stop_sequence": None}
        yield _typed("message_delta", delta=ended, usage={"output_tokens": 5})
        yield _typed("message_stop")


class OpenAIResponses:
    """POST /v1/responses with `stream`."""

    def read(self, body: dict[str, Any]) -> Conversation:
        """Return texts, tool names (those of a namespace joined to it) and outputs of calls."""
        texts, results = [], []
        for item in body["input"]:
            if item["type"].endswith("_call_output"):
                results.append(_flat(item["output"]))
            elif item["type"] == "message":
                texts.append(_flat(item["content"]))
        return Conversation("\n".join(texts), list(self._namespaces(body)), results)

    def answer(self, body: dict[str, Any], call: Call | None, number: int) -> Iterator[Event]:
        """Yield one response with one output item."""
        response = {"id": f"resp_{number}"}
        content = [{"type": "output_text", "text": FAREWELL}]
        item = {"type": "message", "role": "assistant", "id": f"msg_{number}", "content": content}
        if call is not None:
            namespace = self._namespaces(body)[call.tool]
            item = {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"call_{number}",
                "name": call.tool.removeprefix(f"{namespace}__"),
                "arguments": json.dumps(call.arguments),
                **({"namespace": namespace} if namespace else {}),
            }
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        yield _typed("response.created", response=response)
        yield _typed("response.output_item.done", output_index=0, item=item)
        yield _typed("response.completed", response={**response, "usage": usage})

    @staticmethod
    def _namespaces(body: dict[str, Any]) -> dict[str, str]:
        """Return the namespace of each tool, empty for none, by the tool's whole name."""
        names = {}
        for tool in body.get("tools") or []:
            if tool["type"] == "namespace":
                for each in tool["tools"]:
                    names[f"{tool['name']}__{each['name']}"] = tool["name"]
            else:
                names[tool.get("name", tool["type"])] = ""
        return names


class OpenAIChat:
    """POST /v1/chat/completions with `stream`."""

    def read(self, body: dict[str, Any]) -> Conversation:
        """Return texts, tool names and the messages of tools."""
        texts = [_flat(each["content"]) for each in body["messages"] if each["role"] == "user"]
        results = [_flat(each["content"]) for each in body["messages"] if each["role"] == "tool"]
        tools = [tool["function"]["name"] for tool in body.get("tools") or []]
        return Conversation("\n".join(texts), tools, results)

    def answer(self, body: dict[str, Any], call: Call | None, number: int) -> Iterator[Event]:
        """Yield the chunks of one choice and the end mark."""
        delta: dict[str, Any] = {"role": "assistant", "content": FAREWELL}
        if call is not None:
            function = {"name": call.tool, "arguments": json.dumps(call.arguments)}
            one = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
            delta = {"role": "assistant", "content": None, "tool_calls": [one]}
        chunk = {
            "id": f"chatcmpl_{number}",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
        }
        reason = "tool_calls" if call else "stop"
        for part, ended in ((delta, None), ({}, reason)):
            yield None, {**chunk, "choices": [{"index": 0, "delta": part, "finish_reason": ended}]}
        yield None, "[DONE]"


def as_bytes(event: Event) -> bytes:
    """Return an event as it goes over the wire."""
    name, data = event
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def _typed(name: str, **fields: Any) -> Event:
    return name, {"type": name, **fields}


def _blocks(content: str | Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _flat(content: Any) -> str:
    """Return all text of a content that may be a string, a block or a list of blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return str(content.get("text", content))
    return "\n".join(_flat(each) for each in content or [])
