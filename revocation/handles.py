"""Handle: one thing a token can be revoked by."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

#: The name of a kind of handle: a built-in one, or one of an application's own (see handle_kinds.py).
Kind = str

#: The built-in kinds.
KINDS: Final[tuple[Kind, ...]] = ("token", "session", "subject", "client", "key", "issuer")

#: Revoking one of these takes back everything under it; revoking one of the others, what is older than a cut-off.
UNCONDITIONAL_KINDS: Final[frozenset[Kind]] = frozenset({"token", "session", "key"})

#: Longest `jti`, `sub`, `sid`, `client_id` and key id, in characters.
MAX_IDENTIFIER_LENGTH: Final = 256

#: Longest `iss`, in characters.
MAX_ISSUER_LENGTH: Final = 1024

#: What no identifier holds: control characters, line separators, lone surrogates.
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_READABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: The form of an application's own kind.
OWN_KIND: Final = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")


def is_own_kind(name: str) -> bool:
    """Whether an application's own kind of handle may have this name, as far as its form goes."""
    return OWN_KIND.fullmatch(name) is not None


class Identified(Protocol):
    """What handles are taken from: the claims of a token."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def token_id(self) -> str | None: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def client_id(self) -> str | None: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def expires_at(self) -> float: ...


def _name_part(text: str) -> str:
    """Readable where it can be, hashed where it must be; no two texts share a part, and none contains a colon."""
    return text if _READABLE.fullmatch(text) else "~" + hashlib.sha256(text.encode()).hexdigest()


#: Tokens come from few issuers, and most issuers have to be hashed.
_issuer_part = lru_cache(maxsize=256)(_name_part)


@dataclass(frozen=True, slots=True)
class Handle:
    """One thing a token can be revoked by, within one issuer.

    `Handle("subject", "ada", issuer="https://auth.example")` names it by value, `Handle.session(claims)` takes it
    from a token. Raises ValueError for what can be no kind, and for a value that is empty or that no token could carry;
    whether the deny-list declares a kind of an application's own is seen when it is asked to revoke by it.
    """

    kind: Kind
    value: str = ""
    issuer: str = field(kw_only=True)
    #: When the last thing this concerns is dead (seconds since the epoch), where that is known: the token's `exp`.
    expires_at: float | None = field(default=None, kw_only=True, compare=False)
    #: The entry's name: the part of its Redis key behind the namespace.
    name: str = field(init=False, repr=False, compare=False)
    #: The name as a number, by which followers hold it; every process has its own.
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not is_own_kind(self.kind):
            raise ValueError(f"unknown kind of handle {self.kind!r}; built in are {', '.join(KINDS)}")
        if (self.kind == "issuer") != (self.value == ""):
            raise ValueError(
                "a handle of kind 'issuer' takes no value, the issuer is enough"
                if self.kind == "issuer"
                else f"a handle of kind {self.kind!r} needs a value"
            )
        for text, limit in ((self.value, MAX_IDENTIFIER_LENGTH), (self.issuer, MAX_ISSUER_LENGTH)):
            if len(text) > limit:
                raise ValueError(f"longer than {limit} characters: {text[:40]!r}...")
            if CONTROL.search(text):
                raise ValueError(f"control characters or lone surrogates in {text!r}")
        if not self.issuer:
            raise ValueError("a handle needs an issuer")
        self._name()

    def _name(self) -> None:
        name = f"{self.kind}:{_issuer_part(self.issuer)}"
        if self.kind != "issuer":
            name = f"{name}:{_name_part(self.value)}"
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "number", hash(name))

    @classmethod
    def of_checked(cls, kind: Kind, value: str, *, issuer: str) -> "Handle":
        """The handle of values that a token carries and that were checked with it: the same, and in half the time."""
        made = object.__new__(cls)
        put = object.__setattr__
        put(made, "kind", kind)
        put(made, "value", value)
        put(made, "issuer", issuer)
        put(made, "expires_at", None)
        made._name()
        return made

    def __reduce__(self) -> tuple[Callable[..., "Handle"], tuple[object, ...]]:
        # `number` is a hash of this process, so unpickling computes it anew.
        return _unpickled, (self.kind, self.value, self.issuer, self.expires_at)

    @classmethod
    def token(cls, claims: Identified) -> "Handle":
        """Only this token. Raises ValueError where it has no `jti`."""
        return cls("token", claims.token_id or "", issuer=claims.issuer, expires_at=claims.expires_at)

    @classmethod
    def session(cls, claims: Identified) -> "Handle":
        """Every token of this login. Raises ValueError where the token has no `sid`."""
        return cls("session", claims.session_id or "", issuer=claims.issuer)

    @classmethod
    def subject(cls, claims: Identified) -> "Handle":
        """Everything of this user from before a cut-off."""
        return cls("subject", claims.subject, issuer=claims.issuer)

    @classmethod
    def client(cls, claims: Identified) -> "Handle":
        """Everything of this client from before a cut-off. Raises ValueError where the token names no client."""
        return cls("client", claims.client_id or "", issuer=claims.issuer)

    @classmethod
    def key(cls, claims: Identified) -> "Handle":
        """Everything signed with the key that verified this token. Raises ValueError where that is not known."""
        return cls("key", claims.key_id or "", issuer=claims.issuer)


def _unpickled(kind: Kind, value: str, issuer: str, expires_at: float | None) -> Handle:
    return Handle(kind, value, issuer=issuer, expires_at=expires_at)
