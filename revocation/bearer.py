"""Bearer: what each error is over HTTP (RFC 6750 and 9457), and where a request carries its token.

No framework is named here: `revocation/flask/` and its neighbours translate between this module and theirs.
"""

import json
import logging
import math
import re
import time
from dataclasses import dataclass
from typing import Final

from revocation.claims import Claims
from revocation.errors import (
    ConflictError,
    DenylistUnavailableError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingTokenError,
    RevocationError,
)
from revocation.guard import Decision, Refused

#: The HTTP status of each error (RFC 6750, section 3.1). A deny-list that does not answer is never a 401: a short
#: outage must not sign everybody out.
STATUS: Final[dict[type[RevocationError], int]] = {
    InvalidRequestError: 400,
    MissingTokenError: 401,
    InvalidTokenError: 401,
    InsufficientScopeError: 403,
    ConflictError: 409,
    DenylistUnavailableError: 503,
}

#: The field of a query or a form that RFC 6750 would allow for a token.
FIELD: Final = "access_token"

#: Every time below a millisecond, in milliseconds.
_SHORT: Final = tuple(f"0.{microseconds:03d}" for microseconds in range(1000))
#: A longer form is not searched for a token: nobody should have to keep it in memory before anything is decided.
LONGEST_FORM_BYTES: Final = 65_536

_log = logging.getLogger(__name__)

#: How long the log says a reason for 503 only once, and how many reasons it tells apart.
_OUTAGE_SECONDS: Final = 60.0
_MOST_REASONS: Final = 32

_NUMBERS = re.compile(r"[0-9]+")
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 503: "Service Unavailable"}
# A form may write each of its letters as "%" and two digits.
_FIELD = re.compile(f"(?:^|&){''.join(f'(?:{letter}|%(?i:{ord(letter):x}))' for letter in FIELD)}(?:[=&]|$)")
_NOT_FOR_A_HEADER = re.compile(r'[^\x20-\x7e]|["\\]')


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer to an error."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def close_code(self) -> int:
        """The code to close a WebSocket with: 4401, 4403 and the like, or 1013 (try again later)."""
        return 1013 if self.status == 503 else 4000 + self.status  # noqa: PLR2004 (registered by RFC 6455's registry)

    @property
    def status_line(self) -> str:
        """The status with its name."""
        return f"{self.status} {_TITLES[self.status]}"


class _Outages:
    """Logs why requests are answered with 503, each reason once a minute: no request says it, and many may ask."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, reason: str) -> None:
        """Log a reason, unless that was done lately; reasons that differ in numbers alone are one."""
        kind, now = _NUMBERS.sub("", reason), time.monotonic()
        if now - self._told.get(kind, -math.inf) < _OUTAGE_SECONDS:
            return
        if len(self._told) >= _MOST_REASONS:
            self._told.clear()
        self._told[kind] = now
        _log.warning("Requests are answered with 503: %s", reason)


class Bearer:
    """The challenges and answers of one realm."""

    def __init__(self, realm: str = "api") -> None:
        self._realm = _NOT_FOR_A_HEADER.sub("?", realm)
        self._outages = _Outages()

    def answer(self, error: RevocationError, decision: Decision | None = None) -> Answer:
        """The answer to an error: RFC 9457 problem details with an RFC 6750 challenge, or with a `Retry-After`.

        What the state of the deny-list forbids has neither: no other credentials and no waiting would help. With the
        decision the answer also says what that cost (`Server-Timing`).
        """
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        detail = str(error)
        if isinstance(error, DenylistUnavailableError):
            # The log says what is wrong with the server; the client only learns when to try again.
            self._outages.tell(detail)
            detail = "The deny-list does not answer, and the server decides nothing without it. Try again."
            says = [("Retry-After", str(error.retry_after_seconds))]
        else:
            says = [] if isinstance(error, ConflictError) else [("WWW-Authenticate", self.challenge(error))]
        problem = {
            "type": "about:blank",
            "title": _TITLES[status],
            "status": status,
            "detail": detail,
            "reason": error.reason if isinstance(error, InvalidTokenError) else error.slug,
        }
        cost = [] if decision is None else [("Server-Timing", server_timing(decision))]
        headers = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *says, *cost)
        return Answer(status, headers, json.dumps(problem).encode())

    def judge(self, decision: Decision, scope: str | None) -> Claims | Answer:
        """The claims of a request that may go on, and needs every word of `scope` for that; else its answer."""
        if isinstance(decision, Refused):
            return self.answer(decision.error, decision)
        if scope is not None and not decision.claims.scope.issuperset(scope.split()):
            return self.answer(InsufficientScopeError(scope), decision)
        return decision.claims

    def challenge(self, error: RevocationError) -> str:
        """The `WWW-Authenticate` value of an error (RFC 6750, section 3)."""
        if isinstance(error, MissingTokenError):
            return self.challenge_without_error()
        parts = [f'error="{error.slug}"', f'error_description="{_NOT_FOR_A_HEADER.sub("?", str(error))}"']
        if isinstance(error, InsufficientScopeError) and error.scope:
            parts.append(f'scope="{_NOT_FOR_A_HEADER.sub("?", error.scope)}"')
        return ", ".join([self.challenge_without_error(), *parts])

    def challenge_without_error(self) -> str:
        """The `WWW-Authenticate` value for a request that carried no token."""
        return f'Bearer realm="{self._realm}"'


def token_in(authorization: str, query: str = "") -> str:
    """The token in the value of an Authorization header (RFC 6750, section 2.1); empty where there is no header.

    Raises MissingTokenError where it holds no bearer token, and InvalidRequestError where the query holds another.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise MissingTokenError("Send a bearer token in the Authorization header.")
    if query and holds_token(query):
        raise second_token()
    return token


def holds_token(encoded: str) -> bool:
    """Whether a query string, or a form of the same encoding, has a token among its fields."""
    return _FIELD.search(encoded) is not None


def is_short_form(content_type: str, content_length: str, transfer_encoding: str) -> bool:
    """Whether a body with these headers is a form that is searched for a token.

    One that is sent in chunks is not: whatever length the request states, nobody knows how long it is.
    """
    is_form = content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"
    is_short = content_length.isascii() and content_length.isdecimal() and int(content_length) <= LONGEST_FORM_BYTES
    return is_form and is_short and not transfer_encoding


def is_preflight(method: str, requested_method: str | None) -> bool:
    """Whether a browser asks what it may send (CORS): such a request never carries a token.

    `requested_method` is the value of Access-Control-Request-Method.
    """
    return method == "OPTIONS" and requested_method is not None


def require_no_token(form: bytes) -> None:
    """Raise InvalidRequestError where a form holds a token besides the one in the header."""
    if holds_token(form.decode("latin-1")):
        raise second_token()


def second_token() -> InvalidRequestError:
    """What is wrong with a request that carries a token in its query or form besides the one in its header."""
    return InvalidRequestError("Send the token once, in the Authorization header only.")


def too_long_a_form() -> InvalidRequestError:
    """What is wrong with a request whose form is longer than it said."""
    return InvalidRequestError("Send a form that is as long as its Content-Length says.")


def server_timing(decision: Decision) -> str:
    """The `Server-Timing` value that says what a decision cost, in milliseconds, and who was asked."""
    verify, revocation = _milliseconds(decision.verify_seconds), _milliseconds(decision.revocation_seconds)
    return f'verify;dur={verify}, revocation;dur={revocation};desc="{decision.source}"'


def _milliseconds(seconds: float) -> str:
    """Milliseconds to three decimals; what most decisions take is looked up, since formatting it would cost as much."""
    microseconds = int(seconds * 1e6 + 0.5)
    return _SHORT[microseconds] if microseconds < len(_SHORT) else f"{microseconds / 1000:.3f}"
