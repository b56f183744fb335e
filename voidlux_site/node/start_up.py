"""What a node does with its database before it opens its ports, and before it closes them."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.management import call_command

from marketplace.services.offerings import sell_by_default, withdraw_own
from marketplace.services.wallet import grant_initial
from p2p.clock import now_utc
from p2p.local import local_node
from p2p.nodes import all_down
from p2p.own_numbering import begin_life, publish_again
from swarm.election import participation
from swarm.election.office import beat as beat_as_emperor
from swarm.election.state import show_roles
from swarm.llm.accounting import close_abandoned
from swarm.models import Agent
from swarm.replication import terms
from swarm.replication.agents import publish_all
from swarm.replication.heartbeats import ask_census, beat
from swarm.services import jobs
from swarm.services.agents import ensure_agents
from swarm.states import AgentStatus
from voidlux_site.access import keep_own_secrets


def migrate() -> None:
    """Bring the database up to this version of the code."""
    call_command("migrate", interactive=False, verbosity=0)


def reconcile() -> None:
    """Make the stored state true again after whatever ended the node before."""
    environment, now = settings.ENVIRONMENT, now_utc()
    keep_own_secrets()  # before the first request: tools read the API's token in the home
    publish_again(now)  # a crash may have come between a new incarnation and this
    begin_life(now)
    all_down()
    jobs.recover_all(now)
    close_abandoned(now)
    # Sessions may have gone with the machine: an agent is ready when its session is seen.
    Agent.objects.filter(attempt__isnull=True).update(
        status=AgentStatus.STARTING,
        source="node",
        rule="node_started",
        evidence="the node has just started",
        status_since=now,
        seen_at=None,
    )
    grant_initial(environment.initial_balance, now=now)
    if environment.sells:
        sell_by_default(environment.price_per_task)
    prefix = f"{environment.swarm}-{local_node().node_id[:6]}"[:60]
    ensure_agents(environment.agents, environment.agent_capabilities, prefix=prefix, now=now)
    publish_all(now)


def take_part() -> None:
    """Take part in the election: not before the ports are open, for an emperor must be reached."""
    participation.begin(now_utc())


def meet_member(now: datetime) -> None:
    """Tell a member that was just linked that this node lives, and ask for its agents."""
    beat(now)
    if terms.is_emperor():
        beat_as_emperor(terms.own_term(now), now)
        ask_census(now)
    show_roles()


def close_shop() -> None:
    """Withdraw the offering: nobody should ask a node that is about to stop."""
    withdraw_own(now_utc())
