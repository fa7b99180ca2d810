"""protect: revocation for flask-jwt-extended, which goes on to verify, to set cookies and to refresh as it does."""

from collections.abc import Mapping
from typing import Any

from revocation.bearer import Bearer
from revocation.errors import DenylistUnavailableError, InvalidTokenError, RevokedTokenError
from revocation.extras import extra
from revocation.guard import Guard

with extra("flask-jwt-extended", brings="flask_jwt_extended", needed_by="revocation.flask_jwt_extended"):
    from flask import Response, abort
    from flask_jwt_extended import JWTManager
    from flask_jwt_extended.exceptions import JWTDecodeError


def protect(jwt: JWTManager, guard: Guard, *, max_staleness: float | None = None) -> None:
    """Let every `@jwt_required` of the manager ask the guard, which needs no verifier.

    A revoked token gets the manager's own answer to revoked tokens, and one that no revocation could name its answer to
    invalid ones. Where nobody can say, the answer is 503, whatever handlers of errors the application has.
    """
    guard.require_bound(max_staleness)
    bearer = Bearer()

    @jwt.token_in_blocklist_loader
    def is_revoked(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
        key_id = header.get("kid")
        try:
            guard.check(claims, key_id=key_id if isinstance(key_id, str) else None, max_staleness=max_staleness)
        except RevokedTokenError:
            return True
        except InvalidTokenError as error:
            raise JWTDecodeError(str(error)) from error
        except DenylistUnavailableError as error:
            answer = bearer.answer(error)
            abort(Response(answer.body, answer.status, headers=answer.headers))
        return False
