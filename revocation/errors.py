"""What can go wrong, as one tree.

::

    RevocationError
    ├── ConfigurationError           wrong settings or keys; every problem at once
    ├── InvalidRequestError          credentials sent in a way that RFC 6750 forbids
    ├── MissingTokenError            no credentials at all
    ├── InvalidTokenError            the token is not good; ``reason`` says why
    │   ├── ExpiredTokenError
    │   └── RevokedTokenError
    ├── InsufficientScopeError       a good token that may not do this
    │   └── InsufficientRoleError    ... for want of a role
    ├── ConflictError                well asked, but the deny-list's state forbids it
    │   └── SigningKeyError          the key signs, so that revoking it would refuse everybody who signs in
    └── DenylistUnavailableError     the deny-list had to be asked and could not answer
        └── DenylistEmptyError       it answers, but knows no epoch: it was never opened, or lost its data

"Could not ask" is an error of its own and never a verdict: nobody can mistake it for "not revoked".
"""

from collections.abc import Iterable


class RevocationError(Exception):
    """The root of every error this library raises on purpose."""

    #: A stable word for logs, metrics and clients.
    slug = "revocation_error"

    #: The settings that this is about, as RevocationSettings names them: whoever has read them from an environment can
    #: say which variables they are.
    settings: tuple[str, ...] = ()


class ConfigurationError(RevocationError):
    """Settings, keys or servers that cannot work together; names every problem at once."""

    slug = "configuration"

    def __init__(self, problems: str | Iterable[str], *, settings: Iterable[str] = ()) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.settings = tuple(settings)
        super().__init__("\n".join(self.problems))


class InvalidRequestError(RevocationError):
    """The request carries its credentials wrongly, for instance twice (RFC 6750, section 3.1)."""

    slug = "invalid_request"


class MissingTokenError(RevocationError):
    """The request carries no bearer token (RFC 6750, section 3)."""

    slug = "missing_token"


class InvalidTokenError(RevocationError):
    """The token must not be accepted (RFC 6750, section 3.1, ``invalid_token``)."""

    slug = "invalid_token"

    def __init__(self, reason: str, message: str) -> None:
        #: A stable slug: ``signature``, ``expired``, ``revoked``, ``audience``, ...
        self.reason = reason
        super().__init__(message)


class ExpiredTokenError(InvalidTokenError):
    """The token was good until its ``exp`` (RFC 7519, section 4.1.4)."""

    def __init__(self) -> None:
        super().__init__("expired", "The token has expired.")


class RevokedTokenError(InvalidTokenError):
    """The token was good until somebody took it back."""

    def __init__(self) -> None:
        super().__init__("revoked", "The token has been revoked.")


class InsufficientScopeError(RevocationError):
    """The token is good but does not cover this request (RFC 6750, section 3.1)."""

    slug = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        #: The scope that would be needed, space-separated.
        self.scope = scope
        super().__init__(f"This needs the scope {scope!r}.")


class InsufficientRoleError(InsufficientScopeError):
    """The token is good, but its holder has none of the roles that would do."""

    def __init__(self, roles: str) -> None:
        super().__init__("")
        #: The roles of which one would be needed, space-separated.
        self.roles = roles
        self.args = (f"This needs one of the roles {roles!r}.",)


class ConflictError(RevocationError):
    """Well asked, but the deny-list's state forbids it: to undo what was merged, to revoke more keys than it holds."""

    slug = "conflict"


class SigningKeyError(ConflictError):
    """The key signs now, or will: everybody who signs in would be refused until another key signs."""

    slug = "signing_key"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"The key {key_id} signs, or will. Let another one sign first: `python -m app keys revoke {key_id}` of the "
            "service does that, and then revokes this one."
        )


class DenylistUnavailableError(RevocationError):
    """The deny-list had to be asked and could not answer. Never means "not revoked"."""

    slug = "denylist_unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, settings: Iterable[str] = ()) -> None:
        self.settings = tuple(settings)
        #: Whole seconds after which asking again makes sense (HTTP ``Retry-After``).
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class DenylistEmptyError(DenylistUnavailableError):
    """The deny-list holds no epoch: it was never opened (``revocation init``), or it lost its data."""

    slug = "denylist_empty"

    def __init__(self) -> None:
        super().__init__(
            "The deny-list was never opened, or lost its data. `revocation init` opens it and accepts nothing issued "
            "before; where tokens are out and nothing was ever revoked: `revocation init --accept-existing`."
        )
