"""The marketplace layer as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """Registers the marketplace's messages, topic and hooks with the layers below."""

    name = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Galactic Marketplace"

    def ready(self) -> None:
        """Register everything; nothing touches the database here."""
        from marketplace import jobs

        _register_messages()
        _listen_to_the_swarm()
        jobs.register()


def _register_messages() -> None:
    from marketplace import handlers, messages
    from marketplace.services import cancelling, offering_records, refusals
    from p2p.registration import Topic, listen_to_refusals, register_command, register_topic

    register_topic(
        Topic(
            name=messages.TOPIC,
            classes=(messages.OfferingAnnounce, messages.OfferingWithdraw),
            authority=offering_records.authority_of,
            apply=offering_records.apply_records,
            expires_at=offering_records.expires_at_of,
            authority_in=offering_records.authority_in,
            sync=messages.SYNC,
        )
    )
    register_command(
        messages.TributeRequest, handlers.on_tribute_request, handlers.on_request_answered
    )
    register_command(
        messages.TributeAccept, handlers.on_tribute_accept, handlers.on_acceptance_answered
    )
    register_command(messages.TributeReject, handlers.on_tribute_reject)
    register_command(messages.TributeCancel, handlers.on_tribute_cancel, cancelling.note_answered)
    register_command(messages.TributeVerdict, handlers.on_tribute_verdict)
    register_command(
        messages.ConsensusPropose, handlers.on_consensus_propose, handlers.on_proposal_answered
    )
    register_command(messages.ConsensusVote, handlers.on_consensus_vote)
    register_command(messages.ConsensusCommit, handlers.on_consensus_commit)
    register_command(messages.ConsensusAbort, handlers.on_consensus_abort)
    register_command(messages.ConsensusSyncReq, handlers.on_consensus_sync_req)
    register_command(messages.ConsensusSyncRsp, handlers.on_consensus_sync_rsp)
    listen_to_refusals(refusals.note_command)


def _listen_to_the_swarm() -> None:
    from marketplace.services import (
        assignments,
        following,
        hiring,
        offerings,
        paying,
        refusals,
        results,
    )
    from swarm import hooks

    hooks.admit_by(assignments.admit_assignment)
    hooks.hire_sources.append(hooks.HireSource(hiring.hiring_goals, hiring.hire))
    hooks.stranger_sources.append(hiring.tasks_of_strangers)
    hooks.task_listeners.append(following.on_task_moved)
    hooks.task_listeners.append(following.on_goal_moved)
    hooks.report_takers.append(results.take_report)
    hooks.report_listeners.append(results.note_report_sent)
    hooks.verified_listeners.append(following.on_commit_verified)
    hooks.commit_objections.append(following.made_by_another)
    hooks.copy_listeners.append(paying.on_copies)
    hooks.emperor_listeners.append(paying.on_emperor_changed)
    hooks.refusal_listeners.append(refusals.note_assignment)
    hooks.agents_listeners.append(offerings.refresh_offering)
