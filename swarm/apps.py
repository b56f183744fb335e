"""The swarm layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class SwarmConfig(AppConfig):
    """Registers the swarm's messages and handlers with the mesh."""

    name = "swarm"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Swarm"

    def ready(self) -> None:
        """Register handlers; nothing touches the database here."""
        from swarm import jobs
        from swarm.forge import jobs as forge_jobs
        from swarm.planner import jobs as planner_jobs
        from swarm.review import jobs as review_jobs

        _register_commands()
        _register_topics()
        _listen()
        for kinds in (jobs, forge_jobs, review_jobs, planner_jobs):
            kinds.register()


def _register_commands() -> None:
    from p2p.registration import register_command, register_flooded
    from swarm import handlers, messages
    from swarm.election import hearing
    from swarm.replication import messages as replicated

    register_command(messages.TaskAssign, handlers.on_task_assign, handlers.on_assign_answered)
    register_command(messages.TaskClaim, handlers.on_task_claim)
    register_command(messages.TaskProgress, handlers.on_task_progress)
    register_command(messages.TaskComplete, handlers.on_task_complete, handlers.on_report_answered)
    register_command(messages.TaskFail, handlers.on_task_fail)
    register_command(messages.TaskQuestion, handlers.on_task_question)
    register_command(messages.TaskAnswer, handlers.on_task_answer, handlers.on_answer_answered)
    register_command(messages.TaskResume, handlers.on_task_resume)
    register_command(messages.TaskWithdraw, handlers.on_task_withdraw)
    register_command(messages.TaskHandOn, handlers.on_task_hand_on)
    register_flooded(replicated.AgentHeartbeat, handlers.on_agent_heartbeat)
    register_flooded(replicated.CensusRequest, handlers.on_census_request)
    register_flooded(replicated.EmperorHeartbeat, hearing.on_emperor_heartbeat)
    register_flooded(replicated.ElectionStart, hearing.on_election_start)


def _register_topics() -> None:
    from p2p.registration import Topic, register_topic
    from swarm.replication import agents, messages, tasks

    register_topic(
        Topic(
            name=messages.TASKS,
            classes=(
                messages.TaskCreate,
                messages.TaskUpdate,
                messages.TaskCancel,
                messages.TaskArchive,
                messages.ElectionVictory,
            ),
            authority=tasks.authority_of,
            apply=tasks.apply_records,
            expires_at=tasks.expires_at_of,
            sync=messages.TASKS_SYNC,
            forget=tasks.forget,
            rank=tasks.rank_of,
        )
    )
    register_topic(
        Topic(
            name=messages.AGENTS,
            classes=(messages.AgentRegister, messages.AgentDeregister),
            authority=agents.authority_of,
            apply=agents.apply_records,
            expires_at=agents.expires_at_of,
            sync=messages.AGENTS_SYNC,
            forget=agents.forget,
        )
    )


def _listen() -> None:
    from swarm import hooks
    from swarm.agents import answers
    from swarm.election import redirecting
    from swarm.services import attempts, planning, withdrawals

    hooks.task_listeners.append(attempts.on_task_moved)
    hooks.task_listeners.append(planning.on_task_moved)
    hooks.copy_listeners.append(redirecting.tell_again)
    hooks.answer_carriers.append(answers.carry)
    hooks.delivery_listeners.append(answers.on_delivery)
    hooks.task_listeners.append(withdrawals.on_task_moved)
