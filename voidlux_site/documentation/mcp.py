"""Writes `docs/mcp.md` from the tools' own definitions: what a client sees is what it says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from uuid import UUID

_HEAD = """# MCP

This page is written from the definitions of the tools in `swarm/mcp/tools.py`; do not edit it by
hand.

A node serves the Model Context Protocol at `/mcp` (streamable HTTP, stateless, answers as JSON)
beside its dashboard. Over it an agent learns its task, reports, asks, and says how it ended. What
it says is a claim: the node verifies the commit, and the merge gate decides.

## Connecting an agent by hand

Every run of a task gets an access of its own when its worktree is made: an address and a bearer
token, in `VOIDLUX_HOME/runs/<attempt id>/mcp.json` (mode 0600). The run itself finds that file in
`VOIDLUX_MCP_FILE`; a shell block speaks by `sh "$VOIDLUX_SAY" progress NOTE` and
`sh "$VOIDLUX_SAY" ask QUESTION [CHOICE...]`, which prints the answer. A tool that is configured
with such a server can be pointed at it, for example

```json
{"mcpServers": {"voidlux": {
  "type": "http",
  "url": "http://127.0.0.1:9091/mcp",
  "headers": {"Authorization": "Bearer <token of mcp.json>"}
}}}
```

- The token is random; the node keeps only its SHA-256. It stands for one agent and one attempt.
- It is good while that attempt is the agent's open one. Afterwards, and for any other task, a
  call is answered by an error that names what the token is for; nothing is changed.
- Without a token, or with one that was never issued, the answer is 401 with `WWW-Authenticate`.
- Other values of `Host` than the node's own and those of VOIDLUX_ALLOWED_HOSTS get 421, an
  `Origin` of another site 403, methods but POST 405, bodies over 1 MiB 413.
- A restart of the node ends no session, because there are none.

## Questions and answers

`task_needs_input` returns at once; the task is `waiting_input` and keeps its lease as long as the
run lives. The operator answers on the dashboard or by `POST /api/swarm/tasks/{id}/answer` with
`{"text": "..."}`. The answer reaches the agent in either of two ways:

- it is typed into the agent's terminal, for tools that stay at their prompt after a turn;
- it is returned by `task_answer`, which can wait for it up to 50 seconds a call, for tools whose
  program ends with the turn.

It counts as acknowledged with the agent's first sign of life after that; only then is the task
`in_progress` again. Work that was hired from another swarm asks its buyer: the question, the
answer and the acknowledgement travel as TASK_QUESTION, TASK_ANSWER and TASK_RESUME.

## Budgets

A task, or a goal for each of its subtasks, may have a time limit (seconds of one attempt, without
waits for answers), a token limit and a cost limit (both over all attempts): `budget` at submission,
or `POST /api/swarm/tasks/{id}/budget`. Over a limit the run is interrupted, what it had is saved
on its branch, and the task fails (`on_budget` `stop`, the default) or asks the operator
(`ask`): the answer `continue` allows as much again, `stop` ends it. An agent may have limits per
day in UTC (`POST /api/swarm/agents/{id}/budget`); over them it is paused until the next day and
the task goes to another agent. Tokens and costs are known as far as the tool reports them: by
`task_progress`, or by its hooks. They are known on the node that runs the agent only: what a
budget leaves travels with the task, and holds for each run on another node by itself. A seller's
own limits for hired runs hold besides; over them the task goes back to its buyer.

## Errors

A refused call is a tool error (`isError`) whose text begins with a code, such as
`already_asking: question 1 is not answered yet`. Arguments that do not fit the schema are refused
by the schema's own message.

| Code | Tools | Meaning |
|---|---|---|
| `attempt_ended` | all | The attempt of the token is over: stop working on it. |
| `not_your_attempt` | all | The attempt is not the agent's open one any more. |
| `other_task` | all with `task_id` | The token is for another task. |
| `too_long`, `empty` | all with text | A text is over its limit, or nothing of it can be read. |
| `already_asking` | task_needs_input | The question before is not answered yet. |
| `answer_waits` | task_needs_input | The question before is answered: fetch it first. |
| `too_many_choices` | task_needs_input | More choices than are shown. |
| `not_working` | task_needs_input | The attempt ended meanwhile, or says that it is done. |
| `not_asking` | task_answer | Nothing was asked. |
| `already_said` | task_complete, task_failed | The agent said already how it ended. |
| `bad_commit` | task_complete | That is no commit id. |
| `bad_usage`, `bad_cost` | task_progress | Nothing can have used that much. |
| `planning` | task_complete, task_needs_input | A plan is wanted. |
| `not_planning` | task_plan | The task is to be done, not planned. |
| `bad_plan` | task_plan | The plan cannot be carried out; the text says why. |

## Tools"""


def mcp_page() -> str:
    """Return the page in Markdown, ending in a line end."""
    # The SDK is slow and large to import: only who writes pages pays for it.
    from mcp.server.mcpserver.tools import Tool

    from p2p.database_thread import DatabaseThread
    from swarm.mcp.tools import AgentTools

    database = DatabaseThread()
    try:
        tools = AgentTools(database, _nobody).all()
        sections = [_tool(Tool.from_function(tool), tool) for tool in tools]
    finally:
        database.stop()
    return "\n\n".join([_HEAD, *sections]) + "\n"


def _nobody() -> UUID:
    raise RuntimeError("nobody calls while pages are written")


def _tool(tool: Any, function: Callable[..., Any]) -> str:
    answer = inspect.signature(function, eval_str=True).return_annotation
    return "\n\n".join(
        [
            f"### {tool.name}",
            inspect.cleandoc(tool.description),
            _table("Argument", tool.parameters),
            f"Answer, `{answer.__name__}`: {answer.__doc__}",
            _table("Field", answer.model_json_schema()),
            *_definitions(tool.parameters),
        ]
    )


def _table(what: str, schema: dict[str, Any]) -> str:
    if not schema.get("properties"):
        return "No arguments."
    required = schema.get("required", [])
    rows = [f"| {what} | Type | Meaning |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        shown = _type(field)
        default = "" if name in required else f"; default `{_default(field)}`"
        rows.append(f"| `{name}` | {shown}{default} | {field.get('description', '')} |")
    return "\n".join(rows)


def _definitions(schema: dict[str, Any]) -> list[str]:
    return [
        f"`{name}`: {definition.get('description', '')}\n\n{_table('Field', definition)}"
        for name, definition in schema.get("$defs", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}{_bounds(field)}"
    return f"{field.get('type', 'any')}{_bounds(field)}"


def _bounds(field: dict[str, Any]) -> str:
    names = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
    found = [f"{name} {field[name]}" for name in names if name in field]
    return f" ({', '.join(found)})" if found else ""


def _default(field: dict[str, Any]) -> str:
    return str(field.get("default", "none")) or "empty"
