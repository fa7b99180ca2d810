"""For administrators: revocations, sessions, users, clients, search, audit, changes, health. Every route asks Redis."""

from flask import Blueprint, Response

from app.accounts import SigningKeyError
from app.problems import Problem
from app.revocations import RevocationNotFoundError
from app.routes.admin import audit, changes, clients, health, revocations, search, sessions, users
from app.users import UserExistsError, UserNotFoundError

routes = Blueprint("admin", __name__, url_prefix="/admin")
for _module in (revocations, sessions, audit, users, clients, search, changes, health):
    routes.register_blueprint(_module.routes)


@routes.errorhandler(UserNotFoundError)
def _on_unknown_user(_error: UserNotFoundError) -> Response:
    return Problem(404, "There is no user of this name.", reason="unknown_user").response()


@routes.errorhandler(UserExistsError)
def _on_taken_name(error: UserExistsError) -> Response:
    return Problem(409, str(error), reason="exists").response()


@routes.errorhandler(RevocationNotFoundError)
def _on_unknown_revocation(error: RevocationNotFoundError) -> Response:
    return Problem(404, str(error), reason="unknown_revocation").response()


@routes.errorhandler(SigningKeyError)
def _on_signing_key(error: SigningKeyError) -> Response:
    return Problem(409, str(error), reason="signing_key").response()
