"""Context: the service that answers the request at hand, and who asks from where."""

from typing import cast

from flask import current_app, request

from app.audit import Actor
from app.grants import Origin
from app.service import Service


def service() -> Service:
    """The service of the current app."""
    return cast("Service", current_app.extensions["service"])


def origin() -> Origin:
    """The address that the request comes from, and the program that sent it."""
    return Origin(request.remote_addr or "", request.user_agent.string)


def actor(name: str) -> Actor:
    """A user or a client that acts by this request."""
    return Actor(name, request.remote_addr or "")
