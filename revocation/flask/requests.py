"""Requests: where a request carries its token, and what was decided about it.

Who calls belongs to the request and not to the application context, which may outlive it.
"""

from typing import TYPE_CHECKING, Any

from flask import Request, request

from revocation.bearer import FIELD, is_short_form, second_token, token_in
from revocation.claims import Claims
from revocation.guard import Decision

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def current_request() -> Any:
    """The request itself: each look through Flask's proxy costs as much as a look into the deny-list."""
    return request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy


def decision_of(current: Request) -> Decision | None:
    """What a guard decided about the token of a request, last; None where nobody asked it."""
    decision: Decision | None = vars(current).get("revocation_decision")
    return decision


def claims_of(current: Request) -> Claims | None:
    """The claims of a request's token; None where none was accepted for it."""
    claims: Claims | None = vars(current).get("revocation_claims")
    return claims


def bearer_token() -> str:
    """The token of the current request (RFC 6750, section 2.1).

    The token is read from the Authorization header only. Raises MissingTokenError where the header has none, and
    InvalidRequestError where the query or the form carries a second token.
    """
    return token_of(current_request())


def token_of(current: Request) -> str:
    """The same of any request."""
    environ = current.environ
    token = token_in(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", ""))
    kind = environ.get("CONTENT_TYPE")
    if kind and _is_short_form(kind, environ) and FIELD in current.form:
        raise second_token()
    return token


def _is_short_form(kind: str, environ: "WSGIEnvironment") -> bool:
    return is_short_form(kind, environ.get("CONTENT_LENGTH", ""), environ.get("HTTP_TRANSFER_ENCODING", ""))
