"""For administrators: what they do and look at, a file for each thing. Every route asks Redis."""

from flask import Blueprint, Response

from app.accounts import ClientClosedError, UnknownValueError
from app.clients import ClientNotFoundError
from app.problems import Problem
from app.revocations import RevocationNotFoundError
from app.routes.admin import (
    audit,
    changes,
    clients,
    health,
    keys,
    kinds,
    revocations,
    search,
    sessions,
    throttle,
    users,
)
from app.users import LastAdministratorError, UserExistsError, UserNotFoundError
from revocation import SigningKeyError

routes = Blueprint("admin", __name__, url_prefix="/admin")
for _module in (revocations, sessions, audit, users, clients, keys, kinds, throttle, search, changes, health):
    routes.register_blueprint(_module.routes)


@routes.errorhandler(UserNotFoundError)
def _on_unknown_user(_error: UserNotFoundError) -> Response:
    return Problem(404, "There is no user of this name.", reason="unknown_user").response()


@routes.errorhandler(ClientNotFoundError)
def _on_unknown_client(_error: ClientNotFoundError) -> Response:
    return Problem(404, "There is no client of this id.", reason="unknown_client").response()


@routes.errorhandler(UnknownValueError)
def _on_unknown_value(error: UnknownValueError) -> Response:
    return Problem(404, str(error), reason=error.reason).response()


@routes.errorhandler(LastAdministratorError)
def _on_last_administrator(error: LastAdministratorError) -> Response:
    return Problem(409, str(error), reason="last_administrator").response()


@routes.errorhandler(ClientClosedError)
def _on_closed_client(error: ClientClosedError) -> Response:
    return Problem(409, str(error), reason="client_closed").response()


@routes.errorhandler(UserExistsError)
def _on_taken_name(error: UserExistsError) -> Response:
    return Problem(409, str(error), reason="exists").response()


@routes.errorhandler(RevocationNotFoundError)
def _on_unknown_revocation(error: RevocationNotFoundError) -> Response:
    return Problem(404, str(error), reason="unknown_revocation").response()


@routes.errorhandler(SigningKeyError)
def _on_signing_key(error: SigningKeyError) -> Response:
    return Problem(409, str(error), reason="signing_key").response()
