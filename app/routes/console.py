"""The console for admins, and its way to stay signed in: a refresh token in a cookie that no script can read.

Three rules keep other sites out of the cookie's routes. The cookie is sent to them alone and never across sites
(SameSite=Strict). Sites are wider than origins: another port of the same host is the same site, and shares its cookies,
so a request must also come from a page of this very origin. And its answer can be read by no other origin, as there is
no CORS here. Everything else the console does is `/admin`, with the access token in a header.
"""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12
from werkzeug.http import dump_cookie

from app.bearer import bearer
from app.devices import DEVICE_SECONDS
from app.grants import Tokens
from app.openapi import Answer, operation
from app.problems import Problem
from app.routes.auth import Login, refreshed, signed_in
from app.routes.context import actor, service
from app.routes.formats import SessionId
from app.routes.pages import page
from app.scopes import ADMIN_SCOPE
from app.sessions import RefreshRefusedError
from revocation.doctor import MEND_UNREACHABLE

P = ParamSpec("P")
R = TypeVar("R")

routes = Blueprint("console", __name__)

_COOKIE: Final = "console"
_DEVICE_COOKIE: Final = "console-device"
_PATH: Final = "/console/session"

#: How many accounts one browser is known to: the last ones that signed in.
_MOST_ACCOUNTS: Final = 5

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


#: The refusals of the cookie's routes, beyond those of all routes.
_FOREIGN: Final = "`foreign_origin`: a page of this service did not send it."
_NO_ADMIN: Final = "`not_an_admin`: the account lacks the scope `revocation:admin`."


class SignedIn(TypedDict):
    """Signed in; the refresh token is in the cookie."""

    access_token: str
    expires_in: Annotated[int, Field(ge=0, description="Seconds.", examples=[900])]
    username: Annotated[str, Field(examples=["admin"])]
    session_id: SessionId | None


def _own_origin_required(view: Callable[P, R]) -> Callable[P, R]:
    """Refuse with Problem 403 what no page of this service sent, by the word of the browser.

    `Origin` is on every request but GET and HEAD that a script sends (Fetch standard, section 3.2), and no script can
    set it or `Sec-Fetch-Site`. Where either is missing or foreign the request is refused, whatever else it carries.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        origin = request.headers.get("Origin")
        # A browser may know the service by its issuer, or by the host it asked: a tunnel, or localhost for 127.0.0.1.
        ours = (_origin_of(service().settings.issuer), _origin_of(request.host_url))
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if origin not in ours or site != "same-origin":
            raise Problem(403, "Only the console itself may ask this.", reason="foreign_origin")
        return view(*args, **kwargs)

    return guarded


@routes.get("/console")
def console() -> Response:
    """The page. It holds nothing: what it shows, it asks `/admin` for."""
    return page("console.html", issuer=service().settings.issuer, mend=MEND_UNREACHABLE)


@routes.post(_PATH)
@_own_origin_required
@operation(
    SignedIn,
    refuses={
        401: "`invalid_credentials`: unknown user, wrong password or disabled account; nobody learns which.",
        403: f"{_FOREIGN} {_NO_ADMIN}",
        429: "`throttled`: too many failures of this account or address.",
        503: "`denylist_unavailable`, `unavailable`: a store does not answer. Try again.",
    },
)
def sign_in(body: Login) -> Response:
    """Sign in with a password: an access token in the answer, a refresh token in a cookie. 403 for who is no admin.

    A second cookie says that this browser signed in to the account before (see app/devices.py); it stays.
    """
    devices = service().devices
    told = [body.device_token or "", *request.cookies.get(_cookie_name(_DEVICE_COOKIE), "").split("~")]
    known = {token: devices.read(token, account=body.username) for token in told[: _MOST_ACCOUNTS + 1]}
    device = next((id_ for id_ in known.values() if id_), None)
    tokens = signed_in(body.username, body.password, device=device)
    if ADMIN_SCOPE not in tokens.scope.split():
        _end(tokens.session_id, body.username, reason="no admin")
        raise _no_admin()
    response = _answer(tokens)
    others = [token for token, id_ in known.items() if token and id_ is None]
    kept = "~".join([devices.token(body.username, device), *others][:_MOST_ACCOUNTS])
    response.headers.add("Set-Cookie", _set_cookie(kept, seconds=DEVICE_SECONDS, name=_DEVICE_COOKIE))
    return response


@routes.post(f"{_PATH}/refresh")
@_own_origin_required
@operation(
    {200: SignedIn, 204: Answer(description="Nobody is signed in: there was no cookie.")},
    refuses={
        401: "`invalid_refresh_token`: the session has ended, and the cookie with it. Sign in again.",
        403: f"{_FOREIGN} {_NO_ADMIN}",
        503: "`denylist_unavailable`, `unavailable`: nothing is used up, unless the answer of Redis was lost. Send the "
        "same request again, within the grace where you can: then it gives tokens either way.",
    },
)
def renew() -> Response:
    """The next access token of the session in the cookie, whose refresh token is used up; 204 without one."""
    cookie = request.cookies.get(_cookie_name())
    if cookie is None:
        # Not an error: this is how the page asks whether somebody is signed in.
        return Response(status=204, headers={"Cache-Control": "no-store"})
    try:
        tokens = refreshed(cookie, client_id=None, scope=None)
    except RefreshRefusedError as error:
        raise Problem(
            401,
            "Sign in.",
            reason="invalid_refresh_token",
            headers={"Set-Cookie": _set_cookie("", seconds=0), "WWW-Authenticate": bearer.challenge_without_error()},
        ) from error
    if ADMIN_SCOPE not in tokens.scope.split():
        # Somebody put the cookie of another session in: what it may do elsewhere, it may not do here.
        raise _no_admin()
    return _answer(tokens)


@routes.delete(_PATH)
@_own_origin_required
@operation(
    {204: Answer(description="Signed out, or nobody was signed in.")},
    refuses={403: _FOREIGN, 503: "`denylist_unavailable`, `unavailable`: nobody is signed out. Try again."},
)
def sign_out() -> Response:
    """End the session in the cookie, its access tokens included, and forget the cookie."""
    session_id = service().sessions.of_refresh_token(request.cookies.get(_cookie_name(), ""))
    session = service().sessions.get(session_id) if session_id else None
    if session is not None:
        _end(session.id, session.subject, reason="logged out")
    response = Response(status=204)
    response.headers["Set-Cookie"] = _set_cookie("", seconds=0)
    response.headers["Cache-Control"] = "no-store"
    return response


def _end(session_id: str | None, subject: str, *, reason: str) -> None:
    if session_id is not None:
        service().sessions.end(
            session_id, subject=subject, reason=reason, actor=actor(subject), action="session.logout"
        )


def _answer(tokens: Tokens) -> Response:
    claims = service().verifier.verify(tokens.access_token)
    answer: SignedIn = {
        "access_token": tokens.access_token,
        "expires_in": tokens.expires_in,
        "username": claims.subject,
        "session_id": tokens.session_id,
    }
    response = jsonify(answer)
    response.headers["Set-Cookie"] = _set_cookie(
        tokens.refresh_token or "", seconds=service().settings.refresh_ttl_seconds
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _no_admin() -> Problem:
    return Problem(403, f"This account may not administer: it lacks the scope {ADMIN_SCOPE}.", reason="not_an_admin")


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def _is_secure() -> bool:
    return service().settings.issuer.startswith("https:")


def _cookie_name(name: str = _COOKIE) -> str:
    """With the prefix, no plain-http answer can have set it (RFC 6265bis, section 4.1.3)."""
    return f"__Secure-{name}" if _is_secure() else name


def _set_cookie(value: str, *, seconds: int, name: str = _COOKIE) -> str:
    return dump_cookie(
        _cookie_name(name),
        value,
        max_age=seconds,
        path=f"{request.script_root}{_PATH}",
        secure=_is_secure(),
        httponly=True,
        samesite="Strict",
    )
