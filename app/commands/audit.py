"""`python -m app audit`."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from app.audit import AuditFilter
from app.audit_copier import AuditCopier
from app.commands.embedded_store import embedded_store
from app.commands.operator import stores_of
from app.database import InvalidValueError
from app.settings import Settings
from revocation import DenylistUnavailableError
from revocation.cli.progress import Progress


class _Instant(click.ParamType[datetime]):
    """An instant as RFC 3339 writes it; a date is its first moment in UTC."""

    name = "instant"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # click's
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!a} is no instant such as 2026-11-24 or 2026-11-24T17:00:00Z.", param, ctx)
        return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command("export")
@click.option("--actor", help="Only what this one did.")
@click.option("--action", help="Only this, such as user.change.")
@click.option("--target", help="Only what concerns this, such as subject:ada.")
@click.option("--reason", help="Only with this in the reason, in any case.")
@click.option("--address", help="Only from this address.")
@click.option("--text", help="Only with this in the actor, action, target, reason or address, in any case.")
@click.option("--since", type=_Instant(), help="Only what was done at this instant or later.")
@click.option("--until", type=_Instant(), help="Only what was done before this instant.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only records after the one with this id.")
@click.pass_obj
def export(settings: Settings, /, *, after: int, **filters: Any) -> None:
    """Print records as JSON, one a line (NDJSON), in the order in which they were written.

    Each record has an id, and later ones have higher ids: --after goes on where an earlier export ended.
    """
    try:
        wanted = AuditFilter.of(filters)
    except InvalidValueError as error:
        raise click.UsageError(str(error)) from error
    stores = stores_of(settings)
    with embedded_store(settings):
        try:
            with Progress("Copying the newest revocations into the audit log"):
                AuditCopier(stores.denylist, stores.audit, keep_seconds=settings.audit_retention_seconds).copy()
        except DenylistUnavailableError as error:
            click.echo(f"The newest revocations may be missing: {error}", err=True)
    for record in stores.audit.everything(after=after, wanted=wanted):
        click.echo(json.dumps({"id": record.id, **record.members()}))
