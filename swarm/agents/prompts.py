"""The prompt of an attempt, and the files and command line with which its tool is started."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.agents import conflict_notes, isolation
from swarm.agents.adapters import ToolAdapter
from swarm.agents.places import run_dir_of, worktree_of
from swarm.agents.signals import SIGNALS
from swarm.agents.tool_environment import environment_of
from swarm.git.command import run_git
from swarm.mcp.access import McpAccess
from swarm.models import Attempt

FEEDBACK_CHARS_MAX = 8000

PROMPT = """\
# {title}

{instructions}
{criteria}{shell}{feedback}{conflict}
## How to work and how to finish

{rules}

VoidLux task {task_id}, attempt {number}, generation {generation}.
"""

CONFLICT = """
## The conflict to resolve

This worktree stands in a merge: {base}, which the others' accepted work led to, is being merged
into what {branch} holds. Conflicts are marked in these files (diff3 style):

{paths}

What the other side wanted:

{intents}

What it did there:

```diff
{diff}
```

Keep the intent of both sides, leave no conflict marker, `git add` what you resolved and commit
the merge before you finish.
"""

WORK_RULES = """\
- You are in a git worktree of your own, on the branch {branch}. Stay on it; commit as you go.
- When the task is done and committed, call the tool `task_complete` of the MCP server `voidlux`
  with task_id "{task_id}", a short summary and the commit. Nothing counts as done before.
- Call `task_progress` now and then, `task_needs_input` when you need a decision, and
  `task_failed` with the reason when it cannot be done. Do not push; that is done for you."""

PLAN_RULES = """\
- This goal is to be planned, not done: change no file. Read what you need in this git worktree.
- Hand in the plan with the tool `task_plan` of the MCP server `voidlux`, task_id "{task_id}":
  parts that agents can do apart and that are merged, each with clear instructions.
- Your work is over when the plan is stored. Call `task_failed` with the reason when the goal
  cannot be planned."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a tool is started for one attempt."""

    command: list[str]
    env: dict[str, str]


def prompt_of(attempt: Attempt) -> str:
    """Return what is typed to the tool; its last line is unlike that of any other attempt."""
    shell = f"\nThe task names these commands:\n\n{attempt.shell}\n" if attempt.shell else ""
    criteria = attempt.acceptance_criteria.strip()
    feedback = attempt.feedback[-FEEDBACK_CHARS_MAX:].strip()
    task_id = attempt.task_id.hex
    rules = PLAN_RULES if attempt.planning else WORK_RULES
    return PROMPT.format(
        title=attempt.title,
        instructions=attempt.instructions.strip() or "The title says it all.",
        criteria=f"\n## It is done when\n\n{criteria}\n" if criteria else "",
        shell=shell,
        feedback=f"\n## What became of the earlier attempt\n\n{feedback}\n" if feedback else "",
        conflict=_conflict_of(attempt),
        rules=rules.format(branch=attempt.branch, task_id=task_id),
        task_id=task_id,
        number=attempt.number,
        generation=attempt.generation,
    )


def _conflict_of(attempt: Attempt) -> str:
    met = conflict_notes.read(run_dir_of(attempt))
    if met is None:
        return ""
    intents = "\n".join(f"- {intent}" for intent in met.intents) or "- (not said)"
    paths = "\n".join(f"- {path}" for path in met.paths)
    return CONFLICT.format(
        branch=attempt.previous_branch,
        base=attempt.base_commit[:12],
        paths=paths,
        intents=intents,
        diff=met.diff.strip(),
    )


def require_tool(tool: ToolAdapter) -> str:
    """Return the path of the tool's program, or raise DomainError `tool_missing`."""
    found = shutil.which(tool.start[0], path=environment_of(tool)["PATH"])
    if found is None:
        message = f"{tool.start[0]} is not in PATH: install {tool.title or tool.name} on this node"
        raise DomainError("tool_missing", message, status=503)
    return found


def prepare_launch(tool: ToolAdapter, attempt: Attempt, access: McpAccess) -> Launch:
    """Write the tool's files for an attempt and return its command line and environment.

    DomainError `tool_missing`, `bad_path` (a quote or a backslash in the home's path) or
    `config_exists` (the repository has a file of its own where the tool's must be).
    """
    require_tool(tool)
    run_dir = run_dir_of(attempt)
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = {
        "run_dir": str(run_dir),
        "worktree": str(worktree_of(attempt)),
        "signals": str(run_dir / SIGNALS),
        "url": access.url,
        "token": access.token,
        "git_writable": json.dumps(_written_by_commits(worktree_of(attempt))),
    }
    _check_paths(values)
    model = attempt.agent.model if attempt.agent is not None else ""
    command = [_filled(part, values) for part in tool.command(model)]
    env = _environment(tool, attempt)
    if tool.mcp is not None and access.url:
        at = _written(tool.mcp.file, tool.mcp.content, values)
        if tool.mcp.exclude:
            _exclude(worktree_of(attempt), Path(at))
        command += [_filled(part, {**values, "file": at}) for part in tool.mcp.arguments]
        for name, value in tool.mcp.environment.items():
            env[name] = _filled(value, {**values, "file": at})
    if tool.hooks is not None:
        at = _written(tool.hooks.file, tool.hooks.content, values)
        command += [_filled(part, {**values, "file": at}) for part in tool.hooks.arguments]
    sandbox = isolation.sandbox_of(attempt)
    return Launch(command if sandbox is None else sandbox.wrap(command), env)


def _environment(tool: ToolAdapter, attempt: Attempt) -> dict[str, str]:
    own = {
        "VOIDLUX_TASK_ID": attempt.task_id.hex,
        "VOIDLUX_ATTEMPT": str(attempt.number),
        "VOIDLUX_GENERATION": str(attempt.generation),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**environment_of(tool), **own}


def _written(name: str | None, content: str, values: Mapping[str, str]) -> str:
    """Write a file that only this user can read, and return its path; empty without a name."""
    if name is None:
        return ""
    path = Path(_filled(name, values))
    text = _filled(content, values)
    if not _stays_inside(path, values):
        raise DomainError("config_exists", f"the repository leads {path.name} out of the worktree")
    if path.exists() and not path.is_relative_to(values["run_dir"]) and path.read_text() != text:
        raise DomainError("config_exists", f"the repository has its own {path.name} for the tool")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)


def _stays_inside(path: Path, values: Mapping[str, str]) -> bool:
    """Tell whether no link of the repository's leads a file somewhere else."""
    folders = (Path(values[name]) for name in ("run_dir", "worktree"))
    within = next((folder for folder in folders if path.is_relative_to(folder)), None)
    return within is None or path.resolve().is_relative_to(within.resolve())


def _written_by_commits(worktree: Path) -> list[str]:
    """Return the folders outside a worktree that `git commit` writes to; no hooks, no settings."""
    asked = ["rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir"]
    own, common = map(Path, run_git(asked, cwd=worktree).stdout.splitlines())
    # A sandbox lets nobody make a folder beside those it opens, and git makes this one late.
    (common / "logs").mkdir(exist_ok=True)
    return [str(own), *(str(common / name) for name in ("objects", "refs", "logs"))]


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _exclude(worktree: Path, path: Path) -> None:
    """Keep a file of the tool's out of commits, for all worktrees of the clone."""
    asked = ["rev-parse", "--path-format=absolute", "--git-path", "info/exclude"]
    exclude = Path(run_git(asked, cwd=worktree).stdout.rstrip("\n"))
    line = f"/{path.relative_to(worktree)}\n"
    known = exclude.read_text(encoding="utf-8") if exclude.exists() else ""
    if line not in known.splitlines(keepends=True):
        exclude.parent.mkdir(parents=True, exist_ok=True)
        with exclude.open("a", encoding="utf-8") as file:
            file.write(line if not known or known.endswith("\n") else f"\n{line}")


def _check_paths(values: Mapping[str, str]) -> None:
    for name in ("run_dir", "worktree"):
        if set(values[name]) & set("'\"\\\n"):
            message = f"path {values[name]!r} holds a quote or a backslash: move the node's home"
            raise DomainError("bad_path", message)
