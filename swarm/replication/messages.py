"""What members of a swarm tell each other: terms, whole tasks, whole agents, signs of life."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from p2p.protocol import limits
from p2p.protocol.fields import (
    Addresses,
    Amount,
    Body,
    Capabilities,
    Count,
    Detail,
    Name,
    NodeId,
    OptionalName,
    OptionalNodeId,
    OptionalPort,
    Scope,
    Sequence,
    Sha,
    SmallCount,
    Summary,
    Timestamp,
    Title,
    Uuid,
    about,
)
from p2p.protocol.messages import Flooded, Record
from p2p.protocol.numbers import MessageNumber
from p2p.sync.messages import sync_pair

TASKS = "tasks"
AGENTS = "agents"
TASKS_SYNC = sync_pair(TASKS, MessageNumber.TASK_SYNC_REQ, MessageNumber.TASK_SYNC_RSP)
AGENTS_SYNC = sync_pair(AGENTS, MessageNumber.AGENT_SYNC_REQ, MessageNumber.AGENT_SYNC_RSP)

HISTORY_MAX = 10  # transitions that a record carries
DEPENDS_ON_MAX = 64
AGENTS_OF_NODE_MAX = 100
PROGRESS_CHARS_MAX = 200  # of one agent in a heartbeat
SETTINGS_CHARS_MAX = 4096  # of a repository's test settings, as JSON
DRAFT_CHARS_MAX = 150_000  # of a plan that waits for approval, as JSON
TERM_JUMP_MAX = 1_000  # a term further ahead of all known ones is a lie or a mistake

Line = Annotated[str, Meta(pattern="^[^\\x00-\\x1f\\x7f]*$(?!\\n)", max_length=512)]
ShortLine = Annotated[
    str, Meta(pattern="^[^\\x00-\\x1f\\x7f]*$(?!\\n)", max_length=PROGRESS_CHARS_MAX)
]
Description = Annotated[
    str, Meta(pattern="^[^\\x00]*$(?!\\n)", max_length=limits.DESCRIPTION_CHARS_MAX)
]
TestSettings = Annotated[str, Meta(pattern="^[^\\x00]*$(?!\\n)", max_length=SETTINGS_CHARS_MAX)]
Draft = Annotated[str, Meta(pattern="^[^\\x00]*$(?!\\n)", max_length=DRAFT_CHARS_MAX)]
Priority = Annotated[int, Meta(ge=-32_768, le=32_767)]
ComplexityName = Literal["small", "medium", "large", "xl"]


class Term(Struct, frozen=True, kw_only=True):
    """A reign: higher counters come first, and at equal counters the lower node id does."""

    counter: Annotated[Sequence, about("rises with every emperor")]
    node_id: Annotated[NodeId, about("the emperor")]

    @property
    def rank(self) -> tuple[int, int]:
        """What orders terms: the higher one counts."""
        return self.counter, -int(self.node_id, 16)


class Transition(Struct, frozen=True, kw_only=True):
    """One move of a task."""

    source: Annotated[OptionalName, about("state before, empty at its creation")]
    target: Annotated[Name, about("state after")]
    by: Annotated[Name, about("who moved it")]
    reason: Annotated[Detail, about("why")]
    at: Annotated[Timestamp, about("when")]


class TaskBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole task: all that another emperor would need to go on with it."""

    id: Annotated[Uuid, about("the task")]
    parent_id: Annotated[Uuid | None, about("its goal; none for a goal")] = None
    number: Annotated[SmallCount, about("place in the plan, from 1; 0 for a goal")] = 0
    title: Annotated[Title, about("one line")]
    description: Annotated[Description, about("a goal as its user wrote it")] = ""
    instructions: Annotated[Body, about("what to do; a goal's are in its description")] = ""
    shell: Annotated[Body, about("what the shell tool runs")] = ""
    acceptance_criteria: Annotated[Body, about("when it is done")] = ""
    complexity: Annotated[ComplexityName, about("how much work it is")] = "medium"
    time_limit_s: Annotated[Count | None, about("how long one run may take, seconds")] = None
    token_limit: Annotated[Amount | None, about("tokens, over all runs")] = None
    cost_limit_micros: Annotated[
        Amount | None, about("over all runs, millionths of a US dollar")
    ] = None
    on_budget: Annotated[OptionalName, about("what happens at a limit: `stop` or `ask`")] = ""
    tokens_used: Annotated[Amount, about("tokens used so far")] = 0
    cost_used_micros: Annotated[Amount, about("spent so far, millionths of a US dollar")] = 0
    over_budget: Annotated[Line, about("why it waits for its operator's decision")] = ""
    status: Annotated[Name, about("its state")]
    priority: Annotated[Priority, about("higher ones first")] = 0
    required_capabilities: Annotated[Capabilities, about("what its agent must be able to do")] = []
    depends_on: Annotated[
        list[Uuid], Meta(max_length=DEPENDS_ON_MAX), about("subtasks that come first")
    ] = []
    repository: Annotated[Line, about("git remote")]
    base_branch: Annotated[Line, about("branch that the goal starts from")] = ""
    base_commit: Annotated[Sha | None, about("commit that it starts from")] = None
    integration_commit: Annotated[Sha | None, about("head of the goal's pushed branch")] = None
    base_red: Annotated[bool, about("the tests failed before it began")] = False
    test_command: Annotated[Detail, about("what proves it")] = ""
    test_source: Annotated[OptionalName, about("who chose that")] = ""
    test_settings: Annotated[
        TestSettings, about("what the repository's settings say of tests, as JSON")
    ] = ""
    auto_merge: Annotated[bool, about("its pull request is merged when the checks are green")] = (
        False
    )
    notes: Annotated[Summary, about("architecture notes for all subtasks of a goal")] = ""
    plan_approval: Annotated[OptionalName, about("`auto`, or `approve` by its user")] = ""
    plan_draft: Annotated[Draft, about("a plan that waits for approval, as JSON")] = ""
    created_by: Annotated[NodeId, about("the emperor that was given it")]
    assigned_node: Annotated[OptionalNodeId, about("who runs it")] = ""
    assigned_agent: Annotated[Line, about("name of the agent")] = ""
    assigned_agent_id: Annotated[Uuid | None, about("the agent, if it is of this swarm")] = None
    tribute_id: Annotated[Uuid | None, about("the tribute that pays for it, if any")] = None
    attempt: Annotated[SmallCount, about("runs begun so far")] = 0
    attempts_max: Annotated[SmallCount, about("runs allowed")] = 3
    generation: Annotated[Count, about("number of the last dispatch")] = 0
    generation_floor: Annotated[Count, about("further dispatches are numbered above it")] = 0
    subtasks: Annotated[SmallCount, about("how many subtasks a goal's plan has")] = 0
    git_branch: Annotated[Line, about("branch last reported")] = ""
    commit: Annotated[Sha | None, about("commit last reported")] = None
    merged_commit: Annotated[Sha | None, about("integration commit that holds it")] = None
    question: Annotated[Summary, about("the last question of its agent")] = ""
    choices: Annotated[
        list[Title], Meta(max_length=limits.CHOICES_MAX), about("answers offered")
    ] = []
    question_generation: Annotated[Count, about("dispatch that asked")] = 0
    question_number: Annotated[SmallCount, about("number of the question in it")] = 0
    asked_at: Annotated[Timestamp | None, about("when it was asked")] = None
    answered_at: Annotated[Timestamp | None, about("when it was answered")] = None
    feedback: Annotated[Summary, about("what the next attempt should know")] = ""
    result: Annotated[Summary, about("what came of it")] = ""
    error: Annotated[Summary, about("why it failed or was sent back")] = ""
    created_at: Annotated[Timestamp, about("when it was made")]
    updated_at: Annotated[Timestamp, about("when it was moved last")]
    claimed_at: Annotated[Timestamp | None, about("when it was dispatched last")] = None
    completed_at: Annotated[Timestamp | None, about("when it ended")] = None
    archived_at: Annotated[Timestamp | None, about("when it was hidden from lists")] = None
    history: Annotated[
        list[Transition], Meta(max_length=HISTORY_MAX), about("its last moves, oldest first")
    ] = []


class TaskRecord(Record, frozen=True, kw_only=True):
    """What every record of a task carries: the whole task, and whose it is."""

    topic: ClassVar[str] = TASKS
    scope: ClassVar[Scope] = "swarm"
    term: Annotated[Term, about("the emperor's term; its node must be the record's origin")]
    task: Annotated[TaskBody, about("the whole task")]

    def key(self) -> str:
        """Return the task's id."""
        return self.task.id


class TaskCreate(TaskRecord, frozen=True, kw_only=True, tag=MessageNumber.TASK_CREATE.value):
    """A task was made."""


class TaskUpdate(TaskRecord, frozen=True, kw_only=True, tag=MessageNumber.TASK_UPDATE.value):
    """A task was moved or changed."""


class TaskCancel(TaskRecord, frozen=True, kw_only=True, tag=MessageNumber.TASK_CANCEL.value):
    """A task was cancelled; its executor is told by TASK_WITHDRAW besides."""


class TaskArchive(TaskRecord, frozen=True, kw_only=True, tag=MessageNumber.TASK_ARCHIVE.value):
    """A task that has ended was hidden from lists; forgotten by members after 7 days."""

    @property
    def deletes(self) -> bool:
        """An archived task goes."""
        return True


class ElectionVictory(Record, frozen=True, kw_only=True, tag=MessageNumber.ELECTION_VICTORY.value):
    """A node is emperor from now on: without it no record of its term counts."""

    topic: ClassVar[str] = TASKS
    scope: ClassVar[Scope] = "swarm"
    swarm: Annotated[Name, about("of which swarm; that of another is refused")]
    term: Annotated[Term, about("the new term; its node must be the record's origin")]
    addresses: Annotated[Addresses, about("where the emperor can be reached; may be empty")]
    http_port: Annotated[OptionalPort, about("port of its API, 0: none")]

    def key(self) -> str:
        """Return one key for each emperor: its newest term replaces the one before."""
        return f"victory-{self.term.node_id}"


class EmperorHeartbeat(
    Flooded, frozen=True, kw_only=True, tag=MessageNumber.EMPEROR_HEARTBEAT.value
):
    """The emperor lives and acts; whoever knows a higher term tells it so by its own."""

    scope: ClassVar[Scope] = "swarm"
    swarm: Annotated[Name, about("of which swarm; that of another is refused")]
    term: Annotated[Term, about("its term; the node must be the message's origin")]
    addresses: Annotated[Addresses, about("where it can be reached; may be empty")]
    http_port: Annotated[OptionalPort, about("port of its API, 0: none")]
    abdicated: Annotated[bool, about("its last one: it gives the office up")] = False


class ElectionStart(Flooded, frozen=True, kw_only=True, tag=MessageNumber.ELECTION_START.value):
    """A member stands for emperor, because none is heard; a lower node id stands against it."""

    scope: ClassVar[Scope] = "swarm"
    swarm: Annotated[Name, about("of which swarm; that of another is refused")]
    term: Annotated[Term, about("the term that it would begin; its own node id")]


class AgentBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole agent, as its node sees it."""

    id: Annotated[Uuid, about("the agent")]
    node_id: Annotated[NodeId, about("its node; must be the record's origin")]
    swarm: Annotated[Name, about("its node's swarm; that of another is refused")]
    name: Annotated[Title, about("unique at its node")]
    tool: Annotated[Line, about("the program that it runs")]
    model: Annotated[Line, about("the model that the program is asked for")] = ""
    capabilities: Annotated[Capabilities, about("what it can do")] = []
    status: Annotated[Name, about("what it is known to be doing")]
    source: Annotated[Line, about("what kind of evidence says so")] = ""
    rule: Annotated[Line, about("which rule judged it")] = ""
    evidence: Annotated[Detail, about("the evidence")] = ""
    status_since: Annotated[Timestamp, about("since when")]
    available: Annotated[bool, about("ready, without work and not reserved")]
    reserved: Annotated[bool, about("set aside, for a tribute for instance")] = False
    task_id: Annotated[Uuid | None, about("the task that it works on")] = None
    task_title: Annotated[Line, about("title of that task")] = ""
    registered_at: Annotated[Timestamp, about("when it was registered")]


class AgentRegister(Record, frozen=True, kw_only=True, tag=MessageNumber.AGENT_REGISTER.value):
    """An agent as it is now; written by its node whenever that changes."""

    topic: ClassVar[str] = AGENTS
    scope: ClassVar[Scope] = "swarm"
    agent: Annotated[AgentBody, about("the whole agent")]

    def key(self) -> str:
        """Return the node and the agent: nobody can occupy another's."""
        return agent_key(self.origin, self.agent.id)


class AgentDeregister(Record, frozen=True, kw_only=True, tag=MessageNumber.AGENT_DEREGISTER.value):
    """An agent is gone for good: its id never comes back."""

    topic: ClassVar[str] = AGENTS
    scope: ClassVar[Scope] = "swarm"
    agent_id: Annotated[Uuid, about("the agent")]
    node_id: Annotated[NodeId, about("its node; must be the record's origin")]

    def key(self) -> str:
        """Return the node and the agent."""
        return agent_key(self.origin, self.agent_id)

    @property
    def deletes(self) -> bool:
        """A deregistration is a tombstone."""
        return True


class AgentBeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent in a heartbeat."""

    agent_id: Annotated[Uuid, about("the agent")]
    status: Annotated[Name, about("what it is known to be doing")]
    task_id: Annotated[Uuid | None, about("the task of its run, while that lives")] = None
    generation: Annotated[Count, about("generation of its run")] = 0
    progress: Annotated[ShortLine, about("last line of output")] = ""


class AgentHeartbeat(Flooded, frozen=True, kw_only=True, tag=MessageNumber.AGENT_HEARTBEAT.value):
    """A node and its agents live; renews the leases of the runs that it names."""

    scope: ClassVar[Scope] = "swarm"
    node_id: Annotated[NodeId, about("the node; must be the message's origin")]
    agents: Annotated[
        list[AgentBeat], Meta(max_length=AGENTS_OF_NODE_MAX), about("all agents of the node")
    ]


class CensusRequest(Flooded, frozen=True, kw_only=True, tag=MessageNumber.CENSUS_REQUEST.value):
    """Asks every member to tell of its agents anew, and of its life at once."""

    scope: ClassVar[Scope] = "swarm"
    node_id: Annotated[NodeId, about("who asks; must be the message's origin")]


def agent_key(node_id: str, agent_id: str) -> str:
    """Return the key of an agent's records."""
    return f"{node_id}-{agent_id}"
