"""`python -m app`: init, serve, users, clients, keys."""

import contextlib
import getpass
import logging.config
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import app.greenlets  # noqa: F401  # first: what is imported unpatched stays so
from app.database import DatabaseUnavailableError
from app.settings import Settings
from revocation import ConfigurationError, EmbeddedServer, Handle, RevocationError

if TYPE_CHECKING:
    from flask import Flask


def main() -> None:
    """Run the command; what is set wrongly is said in plain words, and exits with 2."""
    try:
        commands(prog_name="python -m app")
    except ConfigurationError as error:
        click.echo("This cannot start as it is set:", err=True)
        for problem in error.problems:
            click.echo(f"  - {problem}", err=True)
        sys.exit(2)
    except (RevocationError, DatabaseUnavailableError, OSError) as error:
        click.echo(f"That did not work: {error}", err=True)
        sys.exit(1)


@click.group()
@click.pass_context
def commands(context: click.Context) -> None:
    """The auth service. Its settings come from APP_* and REVOCATION_* in the environment."""
    context.obj = Settings.from_mapping(os.environ)


@commands.command()
@click.pass_obj
def init(settings: Settings) -> None:
    """Make the database schema, the admin account, keys and secrets, and open the first epoch. Safe to repeat."""
    from app.service import Stores
    from app.startup import prepare

    with _store(settings):
        _say_password(prepare(Stores.of(settings), settings))
    click.echo("Ready to serve.")


@commands.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve, after doing what `init` does."""
    run(settings)


def run(settings: Settings, *, extend: "Callable[[Flask], None] | None" = None) -> None:
    """Do what `init` does, and serve until told to stop. `extend` goes to `create_app`."""
    # Until gunicorn takes the signal over: it must not leave a server behind that was just started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    with _store(settings, alone=True):
        # prometheus_client reads this when it is imported, which happens below. Nobody else counts here now.
        counters = settings.data_dir.resolve() / "metrics"
        shutil.rmtree(counters, ignore_errors=True)
        counters.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counters)

        from app import logs
        from app.server import Server
        from app.service import Stores
        from app.startup import prepare

        stores = Stores.of(settings)
        password = prepare(stores, settings)
        # Nothing that is open may be shared by the workers.
        stores.database.close()
        stores.denylist.link.close()
        logging.config.dictConfig(logs.CONFIG)
        _greet(settings, password)
        Server(settings, extend=extend).run()


@commands.group()
def users() -> None:
    """Accounts."""


@users.command("create")
@click.argument("username")
@click.option("--scope", default="", help="What the user's tokens may do, space-separated.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for if left out.")
@click.pass_obj
def create_user(settings: Settings, username: str, scope: str, password: str) -> None:
    """Make an account."""
    from app.database import InvalidValueError
    from app.service import Stores
    from app.users import UserExistsError

    stores = Stores.of(settings)
    stores.database.create_schema()
    try:
        user = stores.users.create(username, password=password, scope=scope)
    except (UserExistsError, InvalidValueError) as error:
        raise click.ClickException(str(error)) from error
    stores.audit.record(actor=_operator(), action="user.create", target=user.username)
    click.echo(f"{user.username} may sign in, with the scope {user.scope!r}.")


@commands.group()
def clients() -> None:
    """Clients of the token endpoint."""


@clients.command("create")
@click.argument("name")
@click.option("--scope", default="", help="What the client's tokens may do, space-separated.")
@click.pass_obj
def create_client(settings: Settings, name: str, scope: str) -> None:
    """Register a client; its secret is shown once."""
    from app.database import InvalidValueError
    from app.service import Stores

    stores = Stores.of(settings)
    stores.database.create_schema()
    try:
        client, secret = stores.clients.create(name, scope=scope)
    except InvalidValueError as error:
        raise click.ClickException(str(error)) from error
    stores.audit.record(actor=_operator(), action="client.create", target=client.client_id)
    click.echo(f"client_id      {client.client_id}\nclient_secret  {secret}")


@clients.command("list")
@click.pass_obj
def list_clients(settings: Settings) -> None:
    """Every client."""
    from app.service import Stores

    stores = Stores.of(settings)
    stores.database.create_schema()
    for client in stores.clients.list():
        click.echo(
            f"{client.client_id}  {'disabled' if client.disabled else 'active':8}  {client.name}  {client.scope}"
        )


@clients.command("disable")
@click.argument("client_id")
@click.pass_obj
def disable_client(settings: Settings, client_id: str) -> None:
    """Refuse a client from now on, and take back the tokens it has."""
    from app.clients import ClientNotFoundError
    from app.service import Stores

    with _store(settings):
        stores = Stores.of(settings)
        stores.denylist.now_ms()
        try:
            stores.clients.disable(client_id)
        except ClientNotFoundError as error:
            raise click.ClickException(str(error)) from error
        receipt = stores.denylist.revoke(
            Handle("client", client_id, issuer=settings.issuer), reason="client disabled", actor=_operator()
        )
        revocation = receipt.revocation
        stores.audit.record(
            actor=_operator(),
            action="client.disable",
            target=client_id,
            revocation_id=revocation.id if revocation else None,
        )
    click.echo(f"{client_id} is disabled, and its tokens are revoked.")


@commands.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@click.pass_obj
def list_keys(settings: Settings) -> None:
    """Every key, and which one signs."""
    from app.instants import rfc3339
    from app.service import Stores

    key_set = Stores.of(settings).keyring.source().key_set()
    signing = key_set.signing_key()
    for key in sorted(key_set, key=lambda key: key.signs_from):
        state = "signs" if key.id == signing.id else "verifies" if key.signs_from <= signing.signs_from else "is next"
        click.echo(f"{key.id}  {key.algorithm}  {state:8}  from {rfc3339(key.signs_from * 1000)}")


@keys.command("rotate")
@click.pass_obj
def rotate_keys(settings: Settings) -> None:
    """Publish the next key now; it signs once everybody has had time to fetch it."""
    from app.instants import rfc3339
    from app.service import Stores

    stores = Stores.of(settings)
    chosen = settings.revocation
    keep = chosen.max_token_lifetime_seconds + 2 * chosen.leeway_seconds + chosen.margin_seconds
    key = stores.keyring.rotate(keep_seconds=keep)
    stores.database.create_schema()
    stores.audit.record(actor=_operator(), action="key.rotate", target=key.id)
    click.echo(f"{key.id} is published, and signs from {rfc3339(key.signs_from * 1000)} on.")


@keys.command("revoke", context_settings={"ignore_unknown_options": True})  # one id in 64 begins with a dash
@click.argument("kid")
@click.pass_obj
def revoke_key(settings: Settings, kid: str) -> None:
    """Withdraw a key that leaked: a new one signs at once, and everything it signed is refused."""
    from app.service import Stores

    with _store(settings):
        stores = Stores.of(settings)
        withdrawn = stores.keyring.withdraw(kid)
        # Also where it is gone already: the last attempt may have ended between the two.
        receipt = stores.denylist.revoke(
            Handle("key", kid, issuer=settings.issuer), reason="key revoked", actor=_operator()
        )
        revocation = receipt.revocation
        stores.database.create_schema()
        stores.audit.record(
            actor=_operator(), action="key.revoke", target=kid, revocation_id=revocation.id if revocation else None
        )
    where = "withdrawn" if withdrawn else "not among the keys here (any more)"
    reach = f"{receipt.followers_confirmed} of {receipt.followers_total} processes have confirmed it"
    click.echo(f"{kid} is {where}; everything it signed is refused: {reach}.")


@contextlib.contextmanager
def _store(settings: Settings, *, alone: bool = False) -> Iterator[None]:
    """With the embedded store running, where it is the store: this process's own, or the running service's."""
    if not settings.is_embedded:
        yield
        return
    with EmbeddedServer(settings.data_dir).owned() as owned:
        if alone and not owned:
            raise ConfigurationError(f"another process serves from {settings.data_dir.resolve()} already")
        yield


def _operator() -> str:
    return f"operator {getpass.getuser()}"


def _say_password(password: str | None) -> None:
    if password is not None:
        click.echo(f"The account admin was made, with the password {password}   (shown this once)")


def _greet(settings: Settings, password: str | None) -> None:
    _say_password(password)
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


if __name__ == "__main__":
    main()
