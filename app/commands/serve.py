"""`python -m app serve`."""

import gc
import logging.config
import os
import shlex
import signal
import sys
from pathlib import Path

import click

from app.commands.embedded_store import embedded_store
from app.metric_files import metric_files
from app.settings import Settings
from revocation.cli.progress import Progress

_log = logging.getLogger(__name__)


@click.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve, after doing what `init` does."""
    # Until gunicorn handles the signal, this handler stops the embedded store that was just started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    with embedded_store(settings, alone=True), metric_files() as counters:
        # prometheus_client reads this at its import, which happens below.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        if counters is not None:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counters)

        gc.disable()  # until the server listens
        from app import logs
        from app.commands.init import PREPARING, show_password
        from app.server import Server
        from app.startup import prepare
        from app.stores import Stores

        # What goes wrong before the workers start is a record of the log as well.
        logging.config.dictConfig(logs.CONFIG)
        stores = Stores.of(settings)
        with Progress(PREPARING):
            password = prepare(stores, settings)
        # The workers must not share an open connection.
        stores.close()
        if counters is None and settings.workers > 1:
            _log.warning("No file system in memory has room: /metrics tells of the worker that answers, not of all.")
        show_password(password)
        Server(settings, on_listening=lambda: _greet(settings, password)).run()


def _greet(settings: Settings, password: str | None) -> None:
    click.echo(f"Serving {settings.issuer} on {settings.bind} with {settings.workers} workers.")
    if settings.is_embedded:
        click.echo(
            f"  playground  {settings.issuer}/          open it in a browser: what revocation is, in five minutes"
        )
    click.echo(f"  console     {settings.issuer}/console   for the account admin")
    command = os.path.relpath(Path(sys.executable).with_name("revocation"))
    if settings.is_embedded and "APP_DATA_DIR" in os.environ:
        command += f" --data-dir {shlex.quote(str(settings.data_dir))}"
    known = f"REVOCATION_ISSUER={settings.issuer} REVOCATION_AUDIENCE={settings.audience}"
    click.echo(f"  terminal    {known} {command} --help")
    click.echo(f"  reference   {settings.issuer}/docs      every endpoint, or by hand:")
    click.echo(
        f"  curl -s {settings.issuer}/auth/login -H 'Content-Type: application/json' "
        f"""-d '{{"username": "admin", "password": "{password or "..."}"}}'"""
    )
