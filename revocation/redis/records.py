"""Records: what the log and `lasting` keep of a revocation or an undo: of what, by whom, and why."""

import json

from revocation.denylist import Note, Revocation
from revocation.handles import Handle
from revocation.redis.protocol import CHANGE, KEY_NAME, order

_TO_JSON = json.JSONEncoder(separators=(",", ":")).encode


def about_revocation(handle: Handle, note: Note) -> str:
    """The record of a revocation, as the scripts complete it with its cut-off and expiry."""
    return _TO_JSON({"kind": handle.kind, "issuer": handle.issuer, "value": handle.value, **_noted(note)})


def about_taken_over(name: str) -> str:
    """The record of a revoked key of which an older version kept the entry's name alone.

    A name that is hashed in part tells of no handle, and stands for it.
    """
    _, issuer, value = name.split(":")
    handle = {"name": name} if "~" in name else {"kind": "key", "issuer": issuer, "value": value}
    return _TO_JSON([{**handle, "actor": "", "reason": "revoked before the new epoch"}, "*", "never"])


def about_undo(revocation_id: str, note: Note) -> str:
    """The record of an undo."""
    return _TO_JSON({"revocation": revocation_id, **_noted(note)})


def parse_undo(text: bytes) -> tuple[str, Note] | None:
    """The id that was undone, and by whom and why; None for a record that is not this version's."""
    try:
        about = json.loads(text)
        return str(about["revocation"]), _note_in(about)
    except (ValueError, KeyError, TypeError):
        return None


def _noted(note: Note) -> dict[str, str]:
    # What is empty of these is left out, as the first releases wrote all records.
    more = {"address": note.address, "action": note.action, "batch": note.batch}
    return {"actor": note.actor, "reason": note.reason, **{name: text for name, text in more.items() if text}}


def _note_in(about: dict[str, str]) -> Note:
    return Note(
        about["actor"], about["reason"], about.get("address", ""), about.get("action", ""), about.get("batch", "")
    )


def parse_revocation(revocation_id: str, text: bytes, *, at_ms: int | None = None) -> Revocation | None:
    """A revocation from its record; None for a record that is not this version's.

    Of a record without its line in the log the instant is not known better than by its id.
    """
    try:
        about, cutoff, expiry = json.loads(text)
        return Revocation.noted(
            revocation_id,
            Handle(about["kind"], about["value"], issuer=about["issuer"]),
            issued_before_ms=None if cutoff == "*" else int(cutoff),
            expires_at_ms=None if expiry == "never" else int(expiry),
            created_at_ms=order(revocation_id)[0] if at_ms is None else at_ms,
            note=_note_in(about),
        )
    except (ValueError, KeyError, TypeError):
        return None


def key_name_in(text: bytes) -> str | None:
    """The entry's name in the record of a revoked key whose handle nobody knows; None for any other record."""
    try:
        about, _, _ = json.loads(text)
        return about["name"] if KEY_NAME.fullmatch(about["name"]) else None
    except (ValueError, KeyError, TypeError):
        return None


def parse_logged(entry_id: bytes, fields: dict[bytes, bytes]) -> Revocation | None:
    """The revocation that a log entry tells of; None for an undo, and for what is not this version's."""
    change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
    if change is None or change["op"] != "revoke":
        return None
    record = fields.get(b"about", b"")
    return parse_revocation(f"{entry_id.decode()}-{change['tag']}", record, at_ms=int(change["at"]))
