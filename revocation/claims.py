"""Claims: what a verified token says. Handle: what a token can be revoked by."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, cast, get_args

from revocation.errors import InvalidTokenError

Kind = Literal["token", "session", "subject", "client", "key", "issuer"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: Revoking one of these takes back everything under it; revoking one of the others, what is older than a cut-off.
UNCONDITIONAL_KINDS: Final[frozenset[Kind]] = frozenset({"token", "session", "key"})

#: Longest `sub`, `sid`, `client_id` and key id, in characters. The `jti` has the same bound.
MAX_IDENTIFIER_LENGTH: Final = 256

#: Instants beyond this (the year 2286, in seconds) are mistakes: milliseconds, usually.
MAX_INSTANT: Final = 10**10

_READABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _name_part(text: str) -> str:
    """Readable where it can be, hashed where it must be; no two texts share a part, and none contains a colon."""
    return text if _READABLE.fullmatch(text) else "~" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Handle:
    """One thing a token can be revoked by, within one issuer.

    `Handle("subject", "ada", issuer="https://auth.example")` names it by value, `Handle.session(claims)` takes it
    from a token. Raises ValueError for an unknown kind, and for a value that is empty or that no token could carry.
    """

    kind: Kind
    value: str = ""
    issuer: str = field(kw_only=True)
    #: When the last thing this concerns is dead (seconds since the epoch), where that is known: the token's `exp`.
    expires_at: float | None = field(default=None, kw_only=True, compare=False)
    #: The entry's name: the part of its Redis key behind the namespace.
    name: str = field(init=False, repr=False, compare=False)
    #: The name as a number, by which followers hold it; another one in every process.
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of handle {self.kind!r}; known are {', '.join(KINDS)}")
        if (self.kind == "issuer") != (self.value == ""):
            raise ValueError(
                "a handle of kind 'issuer' takes no value, the issuer is enough"
                if self.kind == "issuer"
                else f"a handle of kind {self.kind!r} needs a value"
            )
        for text, limit in ((self.value, MAX_IDENTIFIER_LENGTH), (self.issuer, 1024)):
            if len(text) > limit:
                raise ValueError(f"longer than {limit} characters: {text[:40]!r}...")
            if _CONTROL.search(text):
                raise ValueError(f"control characters or lone surrogates in {text!r}")
        if not self.issuer:
            raise ValueError("a handle needs an issuer")
        parts = [self.kind, _name_part(self.issuer)]
        if self.kind != "issuer":
            parts.append(_name_part(self.value))
        object.__setattr__(self, "name", ":".join(parts))
        object.__setattr__(self, "number", hash(self.name))

    def __reduce__(self) -> tuple[Callable[..., "Handle"], tuple[object, ...]]:
        # Made anew where it is unpickled: the number is another one there.
        return _unpickled, (self.kind, self.value, self.issuer, self.expires_at)

    @property
    def unconditional(self) -> bool:
        """Whether revoking it needs no cut-off."""
        return self.kind in UNCONDITIONAL_KINDS

    @classmethod
    def token(cls, claims: "Claims") -> "Handle":
        """Only this token. Raises ValueError where it has no `jti`."""
        return cls("token", claims.token_id or "", issuer=claims.issuer, expires_at=claims.expires_at)

    @classmethod
    def session(cls, claims: "Claims") -> "Handle":
        """Every token of this login. Raises ValueError where the token has no `sid`."""
        return cls("session", claims.session_id or "", issuer=claims.issuer)

    @classmethod
    def subject(cls, claims: "Claims") -> "Handle":
        """Everything of this user from before a cut-off."""
        return cls("subject", claims.subject, issuer=claims.issuer)

    @classmethod
    def client(cls, claims: "Claims") -> "Handle":
        """Everything of this client from before a cut-off. Raises ValueError where the token names no client."""
        return cls("client", claims.client_id or "", issuer=claims.issuer)

    @classmethod
    def key(cls, claims: "Claims") -> "Handle":
        """Everything signed with the key that verified this token. Raises ValueError where that is not known."""
        return cls("key", claims.key_id or "", issuer=claims.issuer)


def _unpickled(kind: Kind, value: str, issuer: str, expires_at: float | None) -> Handle:
    return Handle(kind, value, issuer=issuer, expires_at=expires_at)


@dataclass(frozen=True)
class Claims:
    """What a verified token says, in checked types. Instants are seconds since the epoch."""

    issuer: str
    subject: str
    #: The `jti`; None only where the verifier does not require one.
    token_id: str | None
    issued_at: float
    expires_at: float
    not_before: float | None
    audience: tuple[str, ...]
    scope: frozenset[str]
    #: The `sid`: the login this token belongs to.
    session_id: str | None
    client_id: str | None
    #: The id of the key that verified the signature; None where somebody else verified it.
    key_id: str | None
    #: What cut-offs are compared with: `iat` in milliseconds, less how far it may lie ahead of Redis' clock.
    judged_at_ms: int
    #: Every claim as it stood in the token.
    raw: Mapping[str, Any] = field(repr=False)

    @cached_property
    def handles(self) -> tuple[Handle, ...]:
        """Everything this token can be revoked by."""
        kinds: list[tuple[Kind, str | None]] = [
            ("token", self.token_id),
            ("session", self.session_id),
            ("subject", self.subject),
            ("client", self.client_id),
            ("key", self.key_id),
        ]
        named = [Handle(kind, value, issuer=self.issuer) for kind, value in kinds if value]
        return (*named, Handle("issuer", issuer=self.issuer))

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        *,
        issuer: str | None = None,
        key_id: str | None = None,
        require_jti: bool = True,
        iat_tolerance_seconds: float = 30.0,
    ) -> "Claims":
        """Read decoded claims; `issuer` stands in for a missing `iss`.

        Raises InvalidTokenError where a claim that revocation needs is missing or malformed: what cannot be revoked
        must not be accepted. `iat_tolerance_seconds` is 0 only where `iat` is the time of Redis itself.
        """
        issued_at = _instant(mapping, "iat", fractional=True)
        return cls(
            issuer=_identifier(mapping, "iss", limit=1024) or issuer or _missing("iss"),
            subject=_identifier(mapping, "sub") or _missing("sub"),
            token_id=_token_id(mapping) or (_missing("jti") if require_jti else None),
            issued_at=issued_at if issued_at is not None else _missing("iat"),
            expires_at=_instant(mapping, "exp", fractional=False) or _missing("exp"),
            not_before=_instant(mapping, "nbf", fractional=True),
            audience=_audience(mapping),
            scope=_scope(mapping),
            session_id=_identifier(mapping, "sid"),
            client_id=_identifier(mapping, "client_id") or _identifier(mapping, "azp"),
            key_id=key_id,
            judged_at_ms=round((issued_at or 0) * 1000) - math.ceil(iat_tolerance_seconds * 1000),
            raw=mapping,
        )


def _malformed(claim: str, message: str) -> InvalidTokenError:
    return InvalidTokenError(f"claim_{claim}", f"The claim {claim!r} {message}.")


def _missing(claim: str) -> Any:
    raise InvalidTokenError(f"missing_{claim}", f"The claim {claim!r} is missing.")


def _identifier(mapping: Mapping[str, Any], claim: str, *, limit: int = MAX_IDENTIFIER_LENGTH) -> str | None:
    """A case-sensitive string (RFC 7519, sections 4.1.1 and 4.1.2)."""
    value = mapping.get(claim)
    if value is None and claim not in mapping:
        return None
    if not isinstance(value, str) or not value:
        raise _malformed(claim, "is not a string, or empty")
    if len(value) > limit or _CONTROL.search(value):
        raise _malformed(claim, f"has more than {limit} characters, or control characters")
    return value


def _token_id(mapping: Mapping[str, Any]) -> str | None:
    """The `jti` (RFC 7519, section 4.1.7)."""
    value = _identifier(mapping, "jti")
    if value is not None and not _PRINTABLE_ASCII.fullmatch(value):
        raise _malformed("jti", "is not printable ASCII")
    return value


def _instant(mapping: Mapping[str, Any], claim: str, *, fractional: bool) -> float | None:
    """A NumericDate (RFC 7519, section 2); whole seconds where a fraction would only be rounded away later."""
    value = mapping.get(claim)
    if value is None and claim not in mapping:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float) if fractional else int):
        raise _malformed(claim, "is not a number" if fractional else "is not a whole number of seconds")
    if not 0 < value < MAX_INSTANT:
        raise _malformed(claim, "is not a plausible instant in seconds")
    return cast("float", value)


def _audience(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """A string or a list of strings (RFC 7519, section 4.1.3)."""
    value = mapping.get("aud", ())
    audience = (value,) if isinstance(value, str) else value
    if not isinstance(audience, Sequence) or not all(isinstance(one, str) for one in audience):
        raise _malformed("aud", "is neither a string nor a list of strings")
    return tuple(audience)


def _scope(mapping: Mapping[str, Any]) -> frozenset[str]:
    """Space-separated words (RFC 9068, section 2.2.3)."""
    value = mapping.get("scope", "")
    if not isinstance(value, str):
        raise _malformed("scope", "is not a string")
    return frozenset(value.split(" ")) - {""}
