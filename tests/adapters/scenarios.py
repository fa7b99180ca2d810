"""Scenarios: what may happen to a request with a token, and the one answer that every adapter gives.

They are in the order in which they happen: first all is well, then things are revoked, then Redis hangs, then it has
lost its data.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from revocation import (
    DenylistUnavailableError,
    ExpiredTokenError,
    Handle,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    Key,
    MissingTokenError,
    RevocationError,
    RevokedTokenError,
)
from revocation.bearer import LONGEST_FORM_BYTES
from revocation.testing import Clock
from tests.support.tokens import ISSUER, Forge

Headers = Sequence[tuple[str, str]]

CHUNKED: Final = ("Transfer-Encoding", "chunked")
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")


class Cast:
    """The tokens of one run, each made once."""

    def __init__(self) -> None:
        self.keys = [Key.from_secret(secrets.token_bytes(32)) for _ in range(2)]
        self.secrets = [bytes(key.signing).hex() for key in self.keys]
        self.forge = Forge(self.keys[0], clock=Clock(time.time() - 5))
        self._tokens: dict[str, str] = {}

    def token(self, name: str = "good", key: int = 0, **claims: Any) -> str:
        """The token of this name, for ada and with the scope `me` unless the claims say otherwise."""
        if name not in self._tokens:
            forge = Forge(self.keys[key], clock=self.forge.clock)
            own = {"sid": f"session of {name}", "client_id": f"client of {name}", "jti": secrets.token_hex(8), **claims}
            self._tokens[name] = forge.token(forge.claims(**own))
        return self._tokens[name]

    def bearer(self, *args: Any, **kwargs: Any) -> Headers:
        return [("Authorization", f"Bearer {self.token(*args, **kwargs)}")]


@dataclass(frozen=True)
class Scenario:
    """One request, and why it is refused; None: it is let in."""

    name: str
    error: RevocationError | None = None
    path: str = "/me"
    method: str = "GET"
    headers: Callable[[Cast], Headers] = field(default=lambda cast: cast.bearer())
    body: Callable[[Cast], bytes] = field(default=lambda _: b"")
    query: Callable[[Cast], str] = field(default=lambda _: "")
    #: Who decided, as the header Server-Timing says; empty where nothing was decided.
    source: str = "follower"
    #: What an accepted request gets.
    text: str = "ada"


def _now(cast: Cast) -> int:
    return int(cast.forge.clock())


def _sends(value: str) -> Callable[[Cast], Headers]:
    return lambda _: [("Authorization", value)]


def _claims(name: str, **claims: Any) -> Callable[[Cast], Headers]:
    return lambda cast: cast.bearer(name, **claims)


def _forged(cast: Cast) -> Headers:
    return [("Authorization", f"Bearer {cast.token()[:-5]}AAAAA")]


def _unsigned(cast: Cast) -> Headers:
    header, body, _ = cast.forge.token(header={"alg": "none", "typ": "at+jwt"}, algorithm="HS256").split(".")
    return [("Authorization", f"Bearer {header}.{body}.")]


def _of_type(cast: Cast) -> Headers:
    return [("Authorization", f"Bearer {cast.forge.token(header=cast.forge.header(typ='JWT'))}")]


_NO_TOKEN = MissingTokenError("Send a bearer token in the Authorization header.")
_TWO = InvalidRequestError("Send the token once, in the Authorization header only.")
_AWAY = DenylistUnavailableError("whatever is wrong")


def _bad(reason: str, message: str) -> InvalidTokenError:
    return InvalidTokenError(reason, message)


def _form(**fields: str) -> Callable[[Cast], bytes]:
    return lambda _: urlencode(fields).encode()


def _with_form(cast: Cast) -> Headers:
    return [*cast.bearer(), FORM]


CALM: Final = (
    Scenario("no token", _NO_TOKEN, headers=lambda _: (), source=""),
    Scenario("an empty header", _NO_TOKEN, headers=_sends(""), source=""),
    Scenario("the scheme alone", _NO_TOKEN, headers=_sends("Bearer"), source=""),
    Scenario("another scheme", _NO_TOKEN, headers=_sends("Basic YTpi"), source=""),
    Scenario(
        "a token in the query alone",
        _NO_TOKEN,
        headers=lambda _: (),
        query=lambda cast: f"access_token={cast.token()}",
        source="",
    ),
    Scenario(
        "a token in the form alone",
        _NO_TOKEN,
        method="POST",
        headers=lambda _: [FORM],
        body=_form(access_token="x"),
        source="",
    ),
    Scenario(
        "a token in a cookie alone",
        _NO_TOKEN,
        headers=lambda cast: [("Cookie", f"access_token={cast.token()}")],
        source="",
    ),
    Scenario("HEAD without a token", _NO_TOKEN, method="HEAD", headers=lambda _: (), source=""),
    Scenario(
        "a preflight",
        method="OPTIONS",
        headers=lambda _: [("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")],
        source="",
        text="",
    ),
    Scenario("an open path without a token", path="/open", headers=lambda _: (), source="", text="open"),
    Scenario("an open path with a bad token", path="/open", headers=_sends("Bearer x"), source="", text="open"),
    Scenario("a second token in the query", _TWO, query=lambda cast: f"a=1&access_token={cast.token()}", source=""),
    Scenario("a second token in the query, written oddly", _TWO, query=lambda _: "%61ccess%5Ftoken", source=""),
    Scenario(
        "a second token in the form",
        _TWO,
        method="POST",
        headers=_with_form,
        body=_form(a="1", access_token="x"),
        source="",
    ),
    Scenario(
        "two headers", _bad("malformed", ""), headers=lambda cast: [*cast.bearer(), *cast.bearer()], source="none"
    ),
    Scenario("nonsense", _bad("malformed", ""), headers=_sends("Bearer nonsense"), source="none"),
    Scenario("a forged signature", _bad("signature", ""), headers=_forged, source="none"),
    Scenario("no signature", _bad("malformed", ""), headers=_unsigned, source="none"),
    Scenario(
        "an unknown key",
        _bad("unknown_key", ""),
        headers=lambda cast: [
            ("Authorization", f"Bearer {Forge(Key.from_secret(b'x' * 32), clock=cast.forge.clock).token()}")
        ],
        source="none",
    ),
    Scenario("another type of token", _bad("type", ""), headers=_of_type, source="none"),
    Scenario(
        "an expired token",
        ExpiredTokenError(),
        headers=lambda cast: cast.bearer("expired", iat=_now(cast) - 1000, exp=_now(cast) - 100),
        source="none",
    ),
    Scenario(
        "a token that is not yet valid",
        _bad("not_yet_valid", ""),
        headers=lambda cast: cast.bearer("early", nbf=_now(cast) + 500),
        source="none",
    ),
    Scenario(
        "a token of the future",
        _bad("issued_in_future", ""),
        headers=lambda cast: cast.bearer("future", iat=_now(cast) + 500, exp=_now(cast) + 900),
        source="none",
    ),
    Scenario(
        "a token of another issuer",
        _bad("issuer", ""),
        headers=_claims("stranger", iss="https://other.example"),
        source="none",
    ),
    Scenario(
        "a token for somebody else",
        _bad("audience", ""),
        headers=_claims("elsewhere", aud="https://other.example"),
        source="none",
    ),
    Scenario("a token without an id", _bad("missing_jti", ""), headers=_claims("nameless", jti=None), source="none"),
    Scenario("a token without an end", _bad("missing_exp", ""), headers=_claims("endless", exp=None), source="none"),
    Scenario("a good token"),
    Scenario(
        "a good token, scheme in lower case", headers=lambda cast: [("Authorization", f"bearer  {cast.token()} ")]
    ),
    Scenario("a good token with HEAD", method="HEAD"),
    Scenario("a good token with POST", method="POST"),
    Scenario("a good token and a form", method="POST", headers=_with_form, body=_form(name="access_token")),
    Scenario(
        "a good token and a form that is too long to be searched",
        method="POST",
        headers=_with_form,
        body=_form(padding="x" * LONGEST_FORM_BYTES, access_token="x"),
    ),
    Scenario(
        "a good token and a form of a length that nobody tells",
        method="POST",
        headers=lambda cast: [*_with_form(cast), CHUNKED],
        body=lambda _: b"e\r\naccess_token=x\r\n0\r\n\r\n",
    ),
    Scenario("a good token and a query", query=lambda _: "page=2&q=access_token"),
    Scenario("a good token on a strict route", path="/strict", source="redis"),
    Scenario("a good token on a stateless route", path="/stateless", source="none"),
    Scenario("a good token for two scopes", path="/both", headers=_claims("both", scope="x reports:read me")),
    Scenario("a scope that is missing", InsufficientScopeError("me"), headers=_claims("scopeless", scope="you")),
    Scenario("one of two scopes", InsufficientScopeError("me reports:read"), path="/both"),
    Scenario("a scope in capitals", InsufficientScopeError("me"), headers=_claims("loud", scope="ME")),
)

#: What is revoked, and by what.
REVOKED: Final[dict[str, Callable[[Cast], Handle]]] = {
    "token": lambda cast: Handle.token(cast.forge.verifier().verify_ignoring_expiry(cast.token("by token"))),
    "session": lambda _: Handle("session", "session of by session", issuer=ISSUER),
    "subject": lambda _: Handle("subject", "bob", issuer=ISSUER),
    "client": lambda _: Handle("client", "client of by client", issuer=ISSUER),
    "key": lambda cast: Handle("key", cast.keys[1].id, issuer=ISSUER),
}

_OWN: Final[dict[str, dict[str, Any]]] = {"subject": {"sub": "bob"}, "key": {"key": 1}}

_BY_TOKEN = _claims("by token")

REVOCATIONS: Final = (
    *(
        Scenario(f"revoked by its {kind}", RevokedTokenError(), headers=_claims(f"by {kind}", **_OWN.get(kind, {})))
        for kind in REVOKED
    ),
    Scenario("revoked, on a strict route", RevokedTokenError(), path="/strict", headers=_BY_TOKEN, source="follower"),
    Scenario("revoked, on a route with a wide bound", RevokedTokenError(), path="/long", headers=_BY_TOKEN),
    Scenario("revoked, on a stateless route", path="/stateless", headers=_BY_TOKEN, source="none"),
    Scenario("revoked, with HEAD", RevokedTokenError(), method="HEAD", headers=_BY_TOKEN),
    Scenario("revoked, and a scope is missing", RevokedTokenError(), path="/both", headers=_BY_TOKEN),
    Scenario("another token, nobody revoked"),
)

UNDONE: Final = (Scenario("revoked and undone", headers=_claims("undone")),)

OUTAGE: Final = (
    Scenario("Redis hangs, on a strict route", _AWAY, path="/strict", source="redis"),
    Scenario("Redis hangs, on a strict route with HEAD", _AWAY, path="/strict", method="HEAD", source="redis"),
    Scenario("Redis hangs for longer than the bound", _AWAY, source="redis"),
    Scenario("Redis hangs, within a wide bound", path="/long"),
    Scenario("Redis hangs, on a stateless route", path="/stateless", source="none"),
    Scenario("Redis hangs, revoked before", RevokedTokenError(), headers=_BY_TOKEN),
    Scenario("Redis hangs, revoked before, within a wide bound", RevokedTokenError(), path="/long", headers=_BY_TOKEN),
    Scenario("Redis hangs, and the token is bad", _bad("malformed", ""), headers=_sends("Bearer x"), source="none"),
    Scenario("Redis hangs, and there is no token", _NO_TOKEN, headers=lambda _: (), source=""),
)

BACK: Final = (
    Scenario("Redis answers again"),
    Scenario("Redis answers again, on a strict route", path="/strict", source="redis"),
)

LOST: Final = (
    Scenario("Redis lost its data", RevokedTokenError()),
    Scenario("Redis lost its data, on a strict route", RevokedTokenError(), path="/strict", source="follower"),
    Scenario("Redis lost its data, on a stateless route", path="/stateless", source="none"),
    Scenario(
        "Redis lost its data, and the token is newer",
        headers=lambda cast: cast.bearer("newer", iat=int(time.time()) + 5),
    ),
)

ALL: Final = (*CALM, *REVOCATIONS, *UNDONE, *OUTAGE, *BACK, *LOST)
