"""Claims: what a verified token says."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

from revocation.defaults import LEEWAY_SECONDS
from revocation.errors import ConfigurationError, InvalidTokenError
from revocation.handle_kinds import ClaimHandle, HandleKinds
from revocation.handles import CONTROL, MAX_IDENTIFIER_LENGTH, MAX_ISSUER_LENGTH, Handle, Kind

#: Instants beyond this (the year 2286, in seconds) are mistakes: milliseconds, usually.
MAX_INSTANT: Final = 10**10

#: How many values one claim may name; a token that names more is refused.
MAX_VALUES: Final = 64

_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """The names under which an issuer writes what the RFCs call `jti`, `sub`, `sid`, `client_id` and `scope`.

    Of several names for the client, the first one that a token has counts; scopes are put together. Raises
    ConfigurationError for a name that is no name.
    """

    token_id: str = "jti"
    subject: str = "sub"
    session_id: str = "sid"
    client_id: tuple[str, ...] = ("client_id", "azp")
    scope: tuple[str, ...] = ("scope",)

    def __post_init__(self) -> None:
        for several in (self.client_id, self.scope):
            if not isinstance(several, tuple):
                raise ConfigurationError(
                    f"write several names of claims as a tuple, and one as (name,), not {several!r}"
                )
        for name in (self.token_id, self.subject, self.session_id, *self.client_id, *self.scope):
            if not isinstance(name, str) or not name:
                raise ConfigurationError(f"the name of a claim is a string that is not empty, not {name!r}")


_STANDARD_NAMES: Final = ClaimNames()


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
    #: The id of the key that verified the signature; None where somebody else verified it and did not say.
    key_id: str | None
    #: What cut-offs are compared with: `iat` in milliseconds, less how far it may lie ahead of Redis' clock.
    judged_at_ms: int
    _raw: Mapping[str, Any] = field(repr=False)
    #: The other ids under which the issuer publishes the same key: whoever revokes one of them revokes the key.
    other_key_ids: tuple[str, ...] = ()

    @property
    def raw(self) -> dict[str, Any]:
        """Every claim as it stood in the token, in a copy that belongs to whoever asks.

        Requests with the same token share one Claims object, so each access makes a new copy, lists and objects within
        it included: a role that one request appends is not there in the next. Keep the copy where you change it.
        """
        return _own_copy(self._raw)

    def handles_by(self, kinds: HandleKinds) -> tuple[Handle, ...]:
        """Everything this token can be revoked by, with kinds of one's own; the claims keep them for the next time.

        A claim that names a handle is a string, a whole number, or a list of them, and the members that lead to it are
        objects or lists of objects; what is missing or null names none. Raises InvalidTokenError for any other: what
        cannot be revoked must not be accepted.
        """
        kept: tuple[HandleKinds, tuple[Handle, ...]] | None = self.__dict__.get("_by_kinds")
        if kept is None or kept[0] is not kinds:
            own = [
                _shared(kind, value, self.issuer)
                for kind, claim in kinds.own.items()
                for value in _named_values(self._raw, claim)
            ]
            # Frozen fields do not change; what is derived from them may be kept beside them.
            kept = self.__dict__["_by_kinds"] = (kinds, (*self.handles, *own))
        return kept[1]

    @cached_property
    def handles(self) -> tuple[Handle, ...]:
        """Everything this token can be revoked by, of the built-in kinds."""
        issuer = self.issuer
        made = []
        if self.token_id:
            made.append(Handle.of_checked("token", self.token_id, issuer=issuer))
        if self.session_id:
            made.append(Handle.of_checked("session", self.session_id, issuer=issuer))
        made.append(Handle.of_checked("subject", self.subject, issuer=issuer))
        if self.client_id:
            made.append(_shared("client", self.client_id, issuer))
        if self.key_id:
            made += [_shared("key", key_id, issuer) for key_id in (self.key_id, *self.other_key_ids)]
        return (*made, _shared("issuer", "", issuer))

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        *,
        issuer: str | None = None,
        key_id: str | None = None,
        other_key_ids: tuple[str, ...] = (),
        names: ClaimNames = _STANDARD_NAMES,
        require_jti: bool = True,
        integer_subject: bool = False,
        iat_tolerance_seconds: float = LEEWAY_SECONDS,
    ) -> "Claims":
        """Read decoded claims; `issuer` stands in for a missing `iss`.

        Optional claims that are null count as missing. With `integer_subject` a `sub` may be a whole number, which is
        then read as its digits. Raises InvalidTokenError where a claim that revocation needs is missing or malformed:
        what cannot be revoked must not be accepted. `iat_tolerance_seconds` is 0 only where `iat` is the time of Redis
        itself.
        """
        issued_at = _instant(mapping, "iat")
        return cls(
            issuer=_identifier(mapping, "iss", limit=MAX_ISSUER_LENGTH) or issuer or _missing(mapping, "iss"),
            subject=_subject(mapping, names.subject, integer=integer_subject) or _missing(mapping, names.subject),
            token_id=_token_id(mapping, names.token_id) or (_missing(mapping, names.token_id) if require_jti else None),
            issued_at=issued_at or _missing(mapping, "iat"),
            expires_at=_instant(mapping, "exp") or _missing(mapping, "exp"),
            not_before=_instant(mapping, "nbf"),
            audience=_audience(mapping),
            scope=_scope(mapping, names.scope),
            session_id=_identifier(mapping, names.session_id),
            client_id=_first_identifier(mapping, names.client_id),
            key_id=key_id,
            judged_at_ms=_judged_at_ms(mapping, issued_at or 0, iat_tolerance_seconds),
            _raw=mapping,
            other_key_ids=other_key_ids,
        )


@lru_cache(maxsize=1024)
def _shared(kind: Kind, value: str, issuer: str) -> Handle:
    """A handle that many tokens have in common."""
    return Handle.of_checked(kind, value, issuer=issuer)


def _own_copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares no list and no object with the original.

    It is a loop because a signed token may be nested deeper than the caller's stack has room for.
    """
    own: dict[str, Any] = dict(mapping)
    pending: list[dict[str, Any] | list[Any]] = [own]
    while pending:
        container = pending.pop()
        places: Any = container.items() if isinstance(container, dict) else enumerate(container)
        for place, member in places:
            if isinstance(member, dict | list):
                container[place] = copy = member.copy()
                pending.append(copy)
    return own


def _judged_at_ms(mapping: Mapping[str, Any], issued_at: float, tolerance_seconds: float) -> int:
    """The instant that cut-offs are compared with.

    `iat_ms` is the `iat` of our own tokens with its milliseconds; another issuer's claim of this name says nothing.
    """
    exact = mapping.get("iat_ms") if tolerance_seconds == 0 else None
    if exact is None:
        return round(issued_at * 1000) - math.ceil(tolerance_seconds * 1000)
    if isinstance(exact, bool) or not isinstance(exact, int) or exact // 1000 != math.floor(issued_at):
        raise _malformed("iat_ms", "does not belong to the iat")
    return exact


def _malformed(claim: str, message: str) -> InvalidTokenError:
    return InvalidTokenError(f"claim_{claim}", f"The claim {claim!r} {message}.")


def _missing(mapping: Mapping[str, Any], claim: str) -> Any:
    if claim in mapping:
        raise _malformed(claim, "is null")
    raise InvalidTokenError(f"missing_{claim}", f"The claim {claim!r} is missing.")


def _identifier(mapping: Mapping[str, Any], claim: str, *, limit: int = MAX_IDENTIFIER_LENGTH) -> str | None:
    """A case-sensitive string (RFC 7519, sections 4.1.1 and 4.1.2)."""
    value = mapping.get(claim)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise _malformed(claim, "is not a string, or empty")
    if len(value) > limit or CONTROL.search(value):
        raise _malformed(claim, f"has more than {limit} characters, or control characters")
    return value


def _first_identifier(mapping: Mapping[str, Any], claims: Iterable[str]) -> str | None:
    for claim in claims:
        value = _identifier(mapping, claim)
        if value is not None:
            return value
    return None


def _subject(mapping: Mapping[str, Any], claim: str, *, integer: bool) -> str | None:
    """The `sub`, which some issuers write as the number of a row in their database."""
    value = mapping.get(claim)
    if integer and isinstance(value, int) and not isinstance(value, bool):
        return _identifier({claim: str(value)}, claim)
    return _identifier(mapping, claim)


def _named_values(mapping: Mapping[str, Any], claim: ClaimHandle) -> tuple[str, ...]:
    """The values of handles that the first of the claims names that names any; numbers are read as their digits."""
    for whole, path in claim.paths:
        values = _members(mapping, whole, (whole,)) or _members(mapping, whole, path)
        if values:
            return tuple(dict.fromkeys(_value(whole, value) for value in values))
    return ()


def _members(mapping: Mapping[str, Any], claim: str, path: tuple[str, ...]) -> list[Any]:
    """What stands at the end of a path; a list on the way counts as each of its members.

    A token whose value is no object where the path goes on is refused: passed over, it would name no handle, and
    nobody could revoke it.
    """
    found: list[Any] = [mapping]
    for member in path:
        if not all(isinstance(each, Mapping) for each in found):
            raise _malformed(claim, "stands in what is neither an object nor a list of objects")
        values = [value for each in found if (value := each.get(member)) is not None]
        found = [each for value in values for each in (value if isinstance(value, list | tuple) else (value,))]
        if len(found) > MAX_VALUES:
            raise _malformed(claim, f"names more than {MAX_VALUES} handles")
    return found


def _value(claim: str, member: Any) -> str:
    if isinstance(member, int) and not isinstance(member, bool) and member.bit_length() <= MAX_IDENTIFIER_LENGTH:
        member = str(member)
    return _identifier({claim: member}, claim) or _missing({claim: member}, claim)


def _token_id(mapping: Mapping[str, Any], claim: str) -> str | None:
    """The `jti` (RFC 7519, section 4.1.7)."""
    value = _identifier(mapping, claim)
    if value is not None and not _PRINTABLE_ASCII.fullmatch(value):
        raise _malformed(claim, "is not printable ASCII")
    return value


def _instant(mapping: Mapping[str, Any], claim: str) -> float | None:
    """A NumericDate (RFC 7519, section 2). It may have a fraction: what is kept until then is kept longer."""
    value = mapping.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed(claim, "is not a number")
    if not 0 < value < MAX_INSTANT:
        raise _malformed(claim, "is not a plausible instant in seconds")
    return value


def _audience(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """A string or a list of strings (RFC 7519, section 4.1.3)."""
    value = mapping.get("aud")
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else _strings(mapping, "aud")


def _scope(mapping: Mapping[str, Any], claims: Iterable[str]) -> frozenset[str]:
    """Space-separated words (RFC 9068, section 2.2.3), or a list of words."""
    words: set[str] = set()
    for claim in claims:
        value = mapping.get(claim)
        if value is not None:
            words.update(value.split(" ") if isinstance(value, str) else _strings(mapping, claim))
    return frozenset(words - {""})


def _strings(mapping: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    value = mapping[claim]
    if not isinstance(value, Sequence) or not all(isinstance(member, str) for member in value):
        raise _malformed(claim, "is neither a string nor a list of strings")
    return tuple(value)
