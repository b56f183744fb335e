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
        from p2p.registration import register_command
        from swarm import handlers, hooks, jobs, messages
        from swarm.agents import answers
        from swarm.services import attempts, planning

        register_command(messages.TaskAssign, handlers.on_task_assign, handlers.on_assign_answered)
        jobs.register()
        hooks.task_listeners.append(attempts.on_task_moved)
        hooks.task_listeners.append(planning.on_task_moved)
        hooks.answer_carriers.append(answers.carry)
        hooks.delivery_listeners.append(answers.on_delivery)
        register_command(messages.TaskClaim, handlers.on_task_claim)
        register_command(messages.TaskUpdate, handlers.on_task_update)
        register_command(
            messages.TaskComplete, handlers.on_task_complete, handlers.on_report_answered
        )
        register_command(messages.TaskFail, handlers.on_task_fail)
        register_command(messages.TaskQuestion, handlers.on_task_question)
        register_command(messages.TaskAnswer, handlers.on_task_answer, handlers.on_answer_answered)
        register_command(messages.TaskResume, handlers.on_task_resume)
