"""How sessions, revocations and receipts look in JSON."""

from typing import Any

from app.instants import rfc3339
from app.sessions import Session
from revocation import Receipt, Revocation


def session_json(session: Session) -> dict[str, Any]:
    """A session as its user and an admin see it."""
    return {
        "session_id": session.id,
        "client_id": session.client_id,
        "created_at": rfc3339(session.signed_in_ms),
        "last_used_at": rfc3339(session.used_ms),
        "expires_at": rfc3339(session.ends_ms),
        "ip": session.address,
        "user_agent": session.user_agent,
    }


def revocation_json(revocation: Revocation) -> dict[str, Any]:
    """A revocation; `issued_before` is null where it is unconditional, `expires_at` where it stands until undone."""
    handle = revocation.handle
    cutoff, expiry = revocation.issued_before_ms, revocation.expires_at_ms
    return {
        "id": revocation.id,
        "issuer": handle.issuer,
        "kind": handle.kind,
        "value": handle.value or None,
        "issued_before": None if cutoff is None else rfc3339(cutoff),
        "expires_at": None if expiry is None else rfc3339(expiry),
        "reason": revocation.reason,
        "actor": revocation.actor,
        "created_at": rfc3339(revocation.created_at_ms),
    }


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """What a revocation has reached."""
    return {
        "enforced": receipt.enforced,
        "followers": {"confirmed": receipt.followers_confirmed, "total": receipt.followers_total},
        "elapsed_seconds": round(receipt.elapsed_seconds, 6),
    }
