"""Requirement: what a route asks of whoever calls it."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

from revocation.claims import Claims
from revocation.errors import InsufficientRoleError, InsufficientScopeError
from revocation.guard import checked_staleness

_MARK: Final = "revocation_requirement"


@dataclass(frozen=True, slots=True)
class Requirement:
    """The conditions of a route; `max_staleness` is None where the guard's own applies."""

    scope: str | None = None
    max_staleness: float | None = None
    #: The token must hold one of these, separated by spaces; None: any token will do.
    roles: str | None = None
    #: Whether a request without any token is let in as well.
    is_optional: bool = False
    #: Whether a token that is in force may lack something.
    asks_more: bool = field(init=False, repr=False, compare=False)
    _scope: frozenset[str] = field(init=False, repr=False, compare=False)
    _roles: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_staleness is not None:
            checked_staleness(self.max_staleness)
        object.__setattr__(self, "_scope", frozenset((self.scope or "").split()))
        object.__setattr__(self, "_roles", frozenset((self.roles or "").split()))
        object.__setattr__(self, "asks_more", bool(self._scope or self._roles))

    @property
    def finite_bound(self) -> float:
        """The bound that a follower has to have its lease for, in seconds; 0 where there is none."""
        bound = self.max_staleness
        return 0.0 if bound is None or bound == math.inf else bound

    def refuses(self, claims: Claims, *, roles_claim: str) -> InsufficientScopeError | None:
        """What the claims of a token that is in force lack; None where they lack nothing."""
        if not claims.scope >= self._scope:
            return InsufficientScopeError(self.scope or "")
        if self._roles and self._roles.isdisjoint(_roles_in(claims, roles_claim)):
            return InsufficientRoleError(self.roles or "")
        return None

    def mark(self, guarded: object) -> None:
        """Let programs that document an app find it."""
        vars(guarded)[_MARK] = self


def requirement(guarded: object) -> Requirement | None:
    """The requirement of a view or a blueprint, for programs that document an app; None where nothing guards it."""
    required: Requirement | None = vars(guarded).get(_MARK)
    return required


def _roles_in(claims: Claims, name: str) -> set[str]:
    """The words of a claim: a list or a text of them, under this name, or at this path with dots."""
    found: Any = claims.raw
    if name in found:
        found = found[name]
    else:
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        return set(found.split())
    return {role for role in found if isinstance(role, str)} if isinstance(found, list) else set()
