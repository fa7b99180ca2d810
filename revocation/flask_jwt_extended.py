"""protect: revocation for flask-jwt-extended, which goes on to verify, to set cookies and to refresh as it does."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from revocation.bearer import Bearer
from revocation.claims import Claims
from revocation.denylist import Receipt
from revocation.errors import DenylistUnavailableError, InvalidTokenError, RevokedTokenError
from revocation.extras import extra
from revocation.guard import Guard
from revocation.handles import Handle

with extra("flask-jwt-extended", brings="flask_jwt_extended", needed_by="revocation.flask_jwt_extended"):
    from flask import Response, abort, has_request_context, request
    from flask_jwt_extended import JWTManager
    from flask_jwt_extended.config import config
    from flask_jwt_extended.exceptions import JWTDecodeError
    from flask_jwt_extended.internal_utils import get_jwt_manager

#: Where the request keeps what its token says, and the logins whose tokens it makes, by their subjects. The extension
#: keeps the former in `g`, which belongs to the application context and may hold that of an earlier request.
_CLAIMS: Final = "revocation.jwt_claims"
_LOGINS: Final = "revocation.logins"

#: What the name of a login begins with that is that of its refresh token, from before logins had names.
_OF_REFRESH_TOKEN: Final = "jti:"


def protect(jwt: JWTManager, guard: Guard, *, max_staleness: float | None = None) -> None:
    """Let every `@jwt_required` of the manager ask the guard, which needs no verifier.

    A revoked token gets the manager's own answer to revoked tokens, and one that no revocation could name its answer to
    invalid ones. Where nobody can say, the answer is 503, whatever handlers of errors the application has. A token
    without `iss` counts as one of JWT_ENCODE_ISSUER, and an identity that is a whole number as its digits: so are the
    tokens that were out before.
    """
    guard.require_bound(max_staleness)
    bearer = Bearer()

    @jwt.token_in_blocklist_loader
    def is_revoked(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
        key_id = header.get("kid")
        read = _read(claims)
        try:
            guard.check(read, key_id=key_id if isinstance(key_id, str) else None, max_staleness=max_staleness)
        except RevokedTokenError:
            return True
        except InvalidTokenError as error:
            raise JWTDecodeError(str(error)) from error
        except DenylistUnavailableError as error:
            answer = bearer.answer(error)
            abort(Response(answer.body, answer.status, headers=answer.headers))
        if has_request_context():
            request.environ[_CLAIMS] = read
        return False


def login_claim(identity: object) -> dict[str, str]:
    """The login (`sid`) to which the tokens belong that this request makes, for `jwt.additional_claims_loader`.

    It is one for all tokens of an identity that are made in one request, and for those that are made with them later:
    by an access token that is exchanged, or a refresh token, also one from before logins had names. Who signs in as
    somebody else has a login of its own, whatever token came with the request.
    """
    if not has_request_context():
        return {"sid": secrets.token_urlsafe(16)}
    # What the extension writes into the token; it has no other way to say so.
    subject = str(get_jwt_manager()._user_identity_callback(identity))  # noqa: SLF001
    logins: dict[str, str] = request.environ.setdefault(_LOGINS, {})
    if subject not in logins:
        known = request.environ.get(_CLAIMS, {})
        known = known if known.get("sub") == subject else {}
        of_refresh_token = f"{_OF_REFRESH_TOKEN}{known['jti']}" if known.get("type") == "refresh" else None
        logins[subject] = known.get("sid") or of_refresh_token or secrets.token_urlsafe(16)
    return {"sid": logins[subject]}


def log_out(guard: Guard, *, reason: str = "logged out") -> Receipt:
    """End the login of this request's token: its access tokens and its refresh token.

    A token from before logins had names names its user only, so everything of that user from before now ends. Raises
    LookupError where no `@jwt_required` let a token in, and DenylistUnavailableError where nothing was revoked.
    """
    if _CLAIMS not in request.environ:
        raise LookupError("no token was let in with this request: the route lacks @jwt_required")
    claims = Claims.from_mapping(request.environ[_CLAIMS])
    if claims.session_id is None:
        handles = [Handle.token(claims), Handle.subject(claims)]
    else:
        handles = [Handle.session(claims)]
        if claims.session_id.startswith(_OF_REFRESH_TOKEN):
            refresh_token = claims.session_id.removeprefix(_OF_REFRESH_TOKEN)
            handles.append(Handle("token", refresh_token, issuer=claims.issuer))
    return guard.denylist.revoke_many(handles, reason=reason)


def _read(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims as a guard reads them, whatever the manager was told to call them."""
    subject = claims.get(config.identity_claim_key)
    whole = isinstance(subject, int) and not isinstance(subject, bool)
    own = {**claims, "sub": str(subject) if whole else subject}
    if own.get("iss") is None and config.encode_issuer:
        own["iss"] = config.encode_issuer
    return own
