"""The playground at `/`: what a token is, and what taking it back costs. It exists on the embedded store only."""

from typing import Any

from flask import Blueprint, redirect, request

from app.demonstration import BRIEF_SECONDS, PASSWORD, USERNAME
from app.routes.context import service
from app.routes.pages import page

routes = Blueprint("playground", __name__)


@routes.get("/")
def entrance() -> Any:
    """The playground; where there is none, the reference."""
    if not service().settings.is_embedded:
        return redirect(f"{request.script_root}/docs")
    return page(
        "playground.html",
        username=USERNAME,
        password=PASSWORD,
        bound_seconds=service().guard.max_staleness,
        brief_seconds=BRIEF_SECONDS,
    )
