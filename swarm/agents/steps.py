"""The slow steps of an attempt: worktree, delivery, commit, push and clean-up.

Blocking calls of git and tmux without any database: the runner calls them on threads.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from pathlib import Path

from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import conflict_notes, isolation, shell
from swarm.agents.adapters import tool_named
from swarm.agents.places import agent_dir, run_dir_of, worktree_of
from swarm.agents.sockets import SESSION_PREFIX, socket_name
from swarm.agents.tmux import TmuxServer
from swarm.clean_env import clean_environment
from swarm.git.attempts import start_point
from swarm.git.command import tells_full_disk
from swarm.git.committing import commit_all, current_branch
from swarm.git.conflicts import describe_conflict, leave_conflict, require_no_markers
from swarm.git.pushing import push_branch
from swarm.git.removal import remove_worktree
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree, begin_worktree, unlock_files
from swarm.mcp.access import McpAccess
from swarm.models import Agent, Attempt
from swarm.worktrees import room
from swarm.worktrees.preparation import prepare, tear_down

FEEDBACK_CHARS_MAX = 4000


def tmux_server() -> TmuxServer:
    """Return this node's private tmux server."""
    return TmuxServer(socket_name())


def ensure_session(agent: Agent) -> None:
    """Start the agent's session, anew where its program ended; raises what tmux raises."""
    tmux = tmux_server()
    if tmux.has_session(agent.session) and tmux.pane_dead(agent.session) is not None:
        tmux.kill_session(agent.session)
    folder = agent_dir(agent.name)
    folder.mkdir(parents=True, exist_ok=True)
    tmux.ensure_session(
        agent.session,
        cwd=folder,
        env=clean_environment({"PS1": f"{agent.name}$ "}),
        command=tool_named(agent.tool).start,
    )


def set_up(attempt: Attempt) -> None:
    """Make the attempt's worktree at its start and the files of its run; may be repeated."""
    make_worktree(attempt)
    with _naming_a_full_disk():
        _prepare_run(attempt, worktree_of(attempt))


def make_worktree(attempt: Attempt, *, with_conflict: bool = False) -> None:
    """Make the attempt's worktree at its start and prepare it; may be repeated.

    Where the earlier attempt conflicts with the base, the worktree holds that conflict, for an
    agent `with_conflict` to resolve; a block begins at the base instead, and is run anew.
    DomainError `no_room` where the quota or the disk has none for another.
    """
    if isolation.in_cell(attempt):
        return  # its agent may have begun
    repository = _repository(attempt)
    worktree = worktree_of(attempt)
    if not worktree.exists():
        room.require_room()
    with _naming_a_full_disk():
        if not _begins_afresh(attempt, repository, worktree):
            repository.ensure(attempt.base_commit)
            _go_on(attempt, repository, worktree, with_conflict=with_conflict)
        isolation.enclose(attempt, author_of(attempt))
        _prepare(attempt, repository, worktree)


def _prepare(attempt: Attempt, repository: Repository, worktree: Path) -> None:
    sandbox = isolation.sandbox_of(attempt)
    prepare(
        repository,
        worktree,
        attempt.base_commit,
        run_dir_of(attempt),
        with_files=attempt.tribute_id is None,
        wrap=sandbox.wrap if sandbox is not None else list,
    )


def _go_on(
    attempt: Attempt, repository: Repository, worktree: Path, *, with_conflict: bool
) -> None:
    start = start_point(repository, attempt.base_commit, attempt.previous_branch or None)
    begins_at_base = bool(start.conflicts) and not with_conflict
    commit = attempt.base_commit if begins_at_base else start.commit
    add_worktree(repository, worktree, attempt.branch, commit)
    if start.conflicts and with_conflict:
        leave_conflict(worktree, attempt.base_commit, author_of(attempt))
        found = describe_conflict(repository, commit, attempt.base_commit, start.conflicts)
        conflict_notes.write(run_dir_of(attempt), found)


def has_access(attempt: Attempt) -> bool:
    """Tell whether the run's files hold its access to MCP already."""
    return _access_file(attempt).exists()


def give_access(attempt: Attempt, access: McpAccess) -> None:
    """Write where the run reaches MCP, and its token, into its folder (mode 0600)."""
    path = _access_file(attempt)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps({"url": access.url, "token": access.token}))
    temporary.replace(path)


def deliver(attempt: Attempt, access: McpAccess | None = None) -> None:
    """Type the attempt's run into its agent's session, unless it has started.

    `access` to MCP is written into its folder before.

    A session that is gone, or whose program ended, is started anew.
    """
    agent = _agent(attempt)
    if access is not None:
        give_access(attempt, access)
    try:
        shell.deliver(tmux_server(), agent.session, run_dir_of(attempt))
    except ExternalError:
        ensure_session(agent)
        shell.deliver(tmux_server(), agent.session, run_dir_of(attempt))


def observe(attempt: Attempt) -> shell.RunState:
    """Return what is known of the attempt's run."""
    return shell.observe(tmux_server(), _agent(attempt).session, run_dir_of(attempt))


def stop(attempt: Attempt) -> None:
    """End the attempt's run and what is left of it."""
    shell.stop(tmux_server(), _agent(attempt).session, run_dir_of(attempt))


def last_line(attempt: Attempt) -> str:
    """Return the last line of output that is not blank."""
    lines = [line for line in output(attempt).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "working"


def output(attempt: Attempt) -> str:
    """Return the tail of the run's output."""
    return shell.output_tail(run_dir_of(attempt)).replace("\x00", "")


def publish(attempt: Attempt) -> str:
    """Commit what the run left, push it and return the commit that the remote shows.

    DomainError `no_changes` where it adds nothing to the base, and `wrong_branch` where it left
    the attempt's branch: what it did elsewhere stays in its worktree and is not pushed for it.
    DomainError `other_commit` where the commit that the agent named is not part of that,
    `unmerged_files` and `conflict_markers` where it left the conflict that it was to resolve.
    """
    if attempt.planning:
        raise DomainError("no_plan", "the planner ended without calling task_plan")
    repository = _repository(attempt)
    if not worktree_of(attempt).exists():
        raise DomainError("worktree_gone", f"worktree {worktree_of(attempt).name} was deleted")
    with isolation.git_of(attempt):
        head = _commit(attempt, repository)
    isolation.release(attempt, repository)
    if repository.is_ancestor(head, attempt.base_commit):
        raise DomainError("no_changes", f"the run left nothing that {head[:8]} does not have")
    _check_claim(repository, attempt, head)
    return push_branch(repository, attempt.branch)


def _commit(attempt: Attempt, repository: Repository) -> str:
    """Commit what the run left, on its own branch, and return the head."""
    branch = current_branch(worktree_of(attempt))
    if branch != attempt.branch:
        where = branch or "a detached head"
        raise DomainError("wrong_branch", f"the run left {attempt.branch} for {where}")
    unlock_files(repository, worktree_of(attempt), attempt.branch)
    head = commit_all(worktree_of(attempt), attempt.title, author_of(attempt))
    met = conflict_notes.read(run_dir_of(attempt))
    if met is not None:
        require_no_markers(worktree_of(attempt), met.paths)
    return head


def salvage(attempt: Attempt) -> bool:
    """Commit and push what an unfinished run left; False when it stays in its worktree only."""
    try:
        if worktree_of(attempt).exists():
            publish(attempt)
        else:
            _push_commits(attempt)
    except (DomainError, ExternalError):
        return False
    return True


def named_cause(code: str, error: str) -> tuple[str, str]:
    """Return code and text of a failure, and say so where the cause is a full disk.

    The node then takes no work for a while: what fills the disk may be about to be removed.
    """
    if not tells_full_disk(error):
        return code, error
    room.note_full_disk(f"the disk is full: {error.splitlines()[-1]}")
    return "disk_full", f"the disk is full: {error}"


def clean_up(attempt: Attempt) -> list[str]:
    """Rescue what is not pushed and remove the worktree; returns the rescue refs.

    DomainError `unpushed_work` where it must stay, ExternalError while the remote is away.
    """
    repository, worktree = _repository(attempt), worktree_of(attempt)
    if repository.path.is_dir():
        isolation.salvage(attempt, repository)
    if repository.path.is_dir() and not isolation.had_cell(attempt):
        tear_down(repository, worktree, attempt.base_commit, run_dir_of(attempt))
    return remove_worktree(repository, worktree, attempt.branch)


def live_sessions() -> set[str]:
    """Return the names of all agents' sessions on this node's tmux server."""
    return {name for name in tmux_server().list_sessions() if name.startswith(SESSION_PREFIX)}


def ended_sessions() -> dict[str, int | None]:
    """Return every session of this node with the exit code of its program, None while it lives."""
    return tmux_server().ended()


def kill_sessions(names: list[str]) -> None:
    """End sessions; one that is gone is fine."""
    tmux = tmux_server()
    for name in names:
        tmux.kill_session(name)


def author_of(attempt: Attempt) -> str:
    """Return the author of an agent's commits: the agent at its node."""
    agent = attempt.agent.name if attempt.agent else "agent"
    return f"{agent} <{agent}@{local_node().node_id[:8]}.voidlux.invalid>"


def _check_claim(repository: Repository, attempt: Attempt, head: str) -> None:
    said = attempt.said_commit
    if not said:
        return
    with contextlib.suppress(DomainError):  # the clone does not know it at all
        if repository.is_ancestor(said, head):
            return
    raise DomainError(
        "other_commit", f"the agent named {said}, which {attempt.branch} does not hold"
    )


def _begins_afresh(attempt: Attempt, repository: Repository, worktree: Path) -> bool:
    if attempt.previous_branch:
        return False
    return begin_worktree(repository, worktree, attempt.branch, attempt.base_commit)


def _access_file(attempt: Attempt) -> Path:
    return run_dir_of(attempt) / "mcp.json"


def _agent(attempt: Attempt) -> Agent:
    if attempt.agent is None:
        raise DomainError("agent_gone", f"the agent of attempt {attempt.id} was removed")
    return attempt.agent


def _push_commits(attempt: Attempt) -> None:
    """Push what was committed on the attempt's branch before its worktree was deleted."""
    repository = _repository(attempt)
    isolation.salvage(attempt, repository)
    head = repository.local_head(attempt.branch)
    if head is None or repository.is_ancestor(head, attempt.base_commit):
        raise DomainError("no_changes", f"nothing was committed on {attempt.branch}")
    push_branch(repository, attempt.branch)


def _prepare_run(attempt: Attempt, worktree: Path) -> None:
    sandbox = isolation.sandbox_of(attempt)
    away = sandbox is not None and not sandbox.network
    shell.prepare_run(
        run_dir_of(attempt),
        script=attempt.shell,
        worktree=worktree,
        env={
            "VOIDLUX_TASK_ID": attempt.task_id.hex,
            "VOIDLUX_TASK_TITLE": attempt.title,
            "VOIDLUX_ATTEMPT": str(attempt.number),
            "VOIDLUX_FEEDBACK": attempt.feedback[:FEEDBACK_CHARS_MAX],
            "VOIDLUX_MCP_FILE": "" if away else str(_access_file(attempt)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        wrap=sandbox.wrap(()) if sandbox is not None else (),
    )


@contextlib.contextmanager
def _naming_a_full_disk() -> Iterator[None]:
    try:
        yield
    except (ExternalError, OSError) as failure:
        if not tells_full_disk(str(failure)) and getattr(failure, "errno", 0) != errno.ENOSPC:
            raise
        room.note_full_disk(f"the disk is full: {failure}")
        message = f"no room for another worktree, the disk is full: {failure}"
        raise DomainError(room.NO_ROOM, message) from failure


def _repository(attempt: Attempt) -> Repository:
    return Repository(attempt.repository, Path(local_node().home))
