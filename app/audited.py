"""Writing into the audit log from a request."""

import logging

import sqlalchemy as sa
from flask import request

from app.database import DatabaseUnavailableError
from app.service import service
from revocation import Receipt
from revocation.metrics import count

_log = logging.getLogger(__name__)


def audit(action: str, *, actor: str, target: str, receipt: Receipt | None = None, reason: str = "") -> None:
    """Write down what was done, by whom and from where, and count what was revoked.

    It is done already, so a database that fails now must not make it look undone: the record goes to the log instead.
    """
    if receipt is not None:
        count(receipt)
    revocation = receipt.revocation if receipt else None
    fields = {
        "actor": actor,
        "action": action,
        "target": target,
        "reason": reason or (revocation.reason if revocation else ""),
        "address": request.remote_addr or "",
        "revocation_id": revocation.id if revocation else None,
    }
    try:
        service().stores.audit.record(**fields)  # type: ignore[arg-type]  # mypy widens the dict's values
    except (DatabaseUnavailableError, sa.exc.SQLAlchemyError):
        _log.exception("This could not be written into the audit log.", extra={"fields": fields})
