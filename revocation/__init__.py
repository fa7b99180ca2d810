"""Revocable JWTs at stateless speed: verify without a lookup, and take back what was issued.

What needs redis-py or cryptography is imported when its name is first used: who needs neither never pays for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from revocation.claims import ClaimNames, Claims
from revocation.denylist import Change, Denylist, FollowerState, Following, Lifetimes, Note, Page, Receipt, Revocation
from revocation.errors import (
    ConfigurationError,
    ConflictError,
    DenylistEmptyError,
    DenylistUnavailableError,
    ExpiredTokenError,
    InsufficientRoleError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingTokenError,
    RevocationError,
    RevokedTokenError,
    SigningKeyError,
)
from revocation.guard import Accepted, Decision, Guard, Refused, Verifying
from revocation.handle_kinds import ClaimHandle, HandleKinds
from revocation.handles import Handle
from revocation.memory import MemoryDenylist

if TYPE_CHECKING:
    from revocation.issuer import TokenIssuer
    from revocation.key_directory import KeyDirectory
    from revocation.keys import Key, KeySet, KeySource
    from revocation.redis.connect import connect
    from revocation.redis.denylist import RedisDenylist
    from revocation.redis.embedded import EmbeddedServer
    from revocation.remote_keys import RemoteKeys
    from revocation.settings import RevocationSettings
    from revocation.trusted_issuers import TrustedIssuers
    from revocation.verifier import TokenVerifier

__all__ = [
    "Accepted",
    "Change",
    "ClaimHandle",
    "ClaimNames",
    "Claims",
    "ConfigurationError",
    "ConflictError",
    "Decision",
    "Denylist",
    "DenylistEmptyError",
    "DenylistUnavailableError",
    "EmbeddedServer",
    "ExpiredTokenError",
    "FollowerState",
    "Following",
    "Guard",
    "Handle",
    "HandleKinds",
    "InsufficientRoleError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "Key",
    "KeyDirectory",
    "KeySet",
    "KeySource",
    "Lifetimes",
    "MemoryDenylist",
    "MissingTokenError",
    "Note",
    "Page",
    "Receipt",
    "RedisDenylist",
    "Refused",
    "RemoteKeys",
    "Revocation",
    "RevocationError",
    "RevocationSettings",
    "RevokedTokenError",
    "SigningKeyError",
    "TokenIssuer",
    "TokenVerifier",
    "TrustedIssuers",
    "Verifying",
    "connect",
]

#: Where the names stand that need redis-py, cryptography or http.client.
_LATER: Final = {
    "EmbeddedServer": "revocation.redis.embedded",
    "Key": "revocation.keys",
    "KeyDirectory": "revocation.key_directory",
    "KeySet": "revocation.keys",
    "KeySource": "revocation.keys",
    "RedisDenylist": "revocation.redis.denylist",
    "RemoteKeys": "revocation.remote_keys",
    "RevocationSettings": "revocation.settings",
    "TokenIssuer": "revocation.issuer",
    "TokenVerifier": "revocation.verifier",
    "TrustedIssuers": "revocation.trusted_issuers",
    "connect": "revocation.redis.connect",
}


if not TYPE_CHECKING:  # a type checker would believe that the module has every name

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
