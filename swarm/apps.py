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
        from p2p.registration import Topic, register_command, register_flooded, register_topic
        from swarm import handlers, hooks, jobs, messages
        from swarm.agents import answers
        from swarm.forge import jobs as forge_jobs
        from swarm.replication import agents as agents_topic
        from swarm.replication import messages as replicated
        from swarm.replication import tasks as tasks_topic
        from swarm.review import jobs as review_jobs
        from swarm.services import attempts, planning, withdrawals

        register_command(messages.TaskAssign, handlers.on_task_assign, handlers.on_assign_answered)
        jobs.register()
        forge_jobs.register()
        review_jobs.register()
        hooks.task_listeners.append(attempts.on_task_moved)
        hooks.task_listeners.append(planning.on_task_moved)
        hooks.answer_carriers.append(answers.carry)
        hooks.delivery_listeners.append(answers.on_delivery)
        hooks.task_listeners.append(withdrawals.on_task_moved)
        register_command(messages.TaskClaim, handlers.on_task_claim)
        register_command(messages.TaskProgress, handlers.on_task_progress)
        register_command(
            messages.TaskComplete, handlers.on_task_complete, handlers.on_report_answered
        )
        register_command(messages.TaskFail, handlers.on_task_fail)
        register_command(messages.TaskQuestion, handlers.on_task_question)
        register_command(messages.TaskAnswer, handlers.on_task_answer, handlers.on_answer_answered)
        register_command(messages.TaskResume, handlers.on_task_resume)
        register_command(messages.TaskWithdraw, handlers.on_task_withdraw)
        register_flooded(replicated.AgentHeartbeat, handlers.on_agent_heartbeat)
        register_flooded(replicated.CensusRequest, handlers.on_census_request)
        register_topic(
            Topic(
                name=replicated.TASKS,
                classes=(
                    replicated.TaskCreate,
                    replicated.TaskUpdate,
                    replicated.TaskCancel,
                    replicated.TaskArchive,
                    replicated.ElectionVictory,
                ),
                authority=tasks_topic.authority_of,
                apply=tasks_topic.apply_records,
                expires_at=tasks_topic.expires_at_of,
                sync=replicated.TASKS_SYNC,
                forget=tasks_topic.forget,
                rank=tasks_topic.rank_of,
            )
        )
        register_topic(
            Topic(
                name=replicated.AGENTS,
                classes=(replicated.AgentRegister, replicated.AgentDeregister),
                authority=agents_topic.authority_of,
                apply=agents_topic.apply_records,
                expires_at=agents_topic.expires_at_of,
                sync=replicated.AGENTS_SYNC,
                forget=agents_topic.forget,
            )
        )
