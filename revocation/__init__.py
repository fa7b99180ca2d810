"""Revocable JWTs at stateless speed: verify without a lookup, and take back what was issued."""

from revocation.claims import Claims, Handle
from revocation.connect import connect
from revocation.denylist import Denylist, Lifetimes, Page, Receipt, Revocation
from revocation.embedded import EmbeddedServer
from revocation.errors import (
    ConfigurationError,
    ConflictError,
    DenylistEmptyError,
    DenylistUnavailableError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingTokenError,
    RevocationError,
    RevokedTokenError,
)
from revocation.guard import Decision, Guard
from revocation.issuer import TokenIssuer
from revocation.key_directory import KeyDirectory
from revocation.keys import Key, KeySet, KeySource
from revocation.memory_denylist import MemoryDenylist
from revocation.redis_denylist import RedisDenylist
from revocation.settings import RevocationSettings
from revocation.verifier import TokenVerifier

__all__ = [
    "Claims",
    "ConfigurationError",
    "ConflictError",
    "Decision",
    "Denylist",
    "DenylistEmptyError",
    "DenylistUnavailableError",
    "EmbeddedServer",
    "ExpiredTokenError",
    "Guard",
    "Handle",
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
    "Page",
    "Receipt",
    "RedisDenylist",
    "Revocation",
    "RevocationError",
    "RevocationSettings",
    "RevokedTokenError",
    "TokenIssuer",
    "TokenVerifier",
    "connect",
]
