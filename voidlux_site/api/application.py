"""The NinjaAPI instance: the routers of all layers under one roof."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI, Swagger
from ninja.errors import ValidationError, ValidationErrorContext

from marketplace.api import router as marketplace_router
from marketplace.partner_api import router as partner_router
from p2p.api import router as p2p_router
from p2p.clock import now_utc
from p2p.posts.api import router as posts_router
from swarm.api import router as swarm_router
from swarm.budgets.api import router as budgets_router
from swarm.worktrees.api import router as worktrees_router
from voidlux_site.api.auth import ApiToken, StaffSession
from voidlux_site.api.idempotency import idempotent
from voidlux_site.api.problems import install_problem_handlers
from voidlux_site.status import describe_status
from voidlux_site.version import VERSION

PREFIX = "/swarm"


class VoidLuxAPI(NinjaAPI):
    """NinjaAPI whose validation errors name the value that was refused."""

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """Return the error with location, message, value and limit of each mistake."""
        errors = []
        for context in error_contexts:
            for each in context.pydantic_validation_error.errors(include_url=False):
                source = context.model.__ninja_param_source__
                flat = context.model.__ninja_flatten_map_reverse__.get(each["loc"], each["loc"])
                errors.append({**each, "loc": (source, *flat)})
        return ValidationError(errors)


def build_api() -> VoidLuxAPI:
    """Return the API with every layer's operations."""
    api = VoidLuxAPI(
        title="VoidLux",
        version=VERSION,
        description=(
            "A node's tasks, agents and marketplace. Send the token of `VOIDLUX_HOME/api-token` "
            "as bearer, or use the dashboard's session with its CSRF token."
        ),
        auth=[ApiToken(), StaffSession()],
        docs=Swagger(settings={"persistAuthorization": False}),
        docs_url="/docs",
        openapi_url="/openapi.json",
    )
    install_problem_handlers(api)
    api.add_decorator(idempotent, mode="operation")
    api.get(f"{PREFIX}/health", auth=None, tags=["node"], summary="Health")(health)
    api.get(f"{PREFIX}/status", tags=["node"], summary="Status")(status)
    for router in (
        p2p_router,
        posts_router,
        swarm_router,
        budgets_router,
        worktrees_router,
        marketplace_router,
        partner_router,
    ):
        api.add_router(PREFIX, router)
    return api


def health(request: HttpRequest) -> dict[str, str]:
    """Answer that this process serves requests."""
    return {"status": "ok"}


def status(request: HttpRequest) -> dict[str, Any]:
    """What this node is and does, in one look."""
    return describe_status(now_utc())


api = build_api()
