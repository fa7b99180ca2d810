"""Formats: how revocations and receipts look in JSON, at the command line and in the service."""

from typing import Any

from revocation.denylist import Change, Receipt, Revocation
from revocation.instants import rfc3339


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
        "address": revocation.address,
        "batch": revocation.batch or None,
        "created_at": rfc3339(revocation.created_at_ms),
    }


def change_json(change: Change) -> dict[str, Any]:
    """A revocation, or the undoing of one; `revocation` is null where the log has forgotten an undone one."""
    return {
        "undone": change.undone,
        "revocation_id": change.revocation_id,
        "revocation": revocation_json(change.revocation) if change.revocation else None,
        "at": rfc3339(change.at_ms),
        "actor": change.note.actor,
        "reason": change.note.reason,
    }


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """How far a revocation has reached."""
    return {
        "enforced": receipt.enforced,
        "followers": {"confirmed": receipt.followers_confirmed, "total": receipt.followers_total},
        "elapsed_seconds": round(receipt.elapsed_seconds, 6),
    }
