"""`python -m app users`."""

import click

from app.commands.operator import accounts, operator
from app.database import InvalidValueError
from app.settings import Settings
from app.stores import Stores
from app.users import UserExistsError


@click.group()
def users() -> None:
    """Accounts."""


@users.command("create")
@click.argument("username")
@click.option("--scope", default="", help="What the user's tokens may do, space-separated.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for if left out.")
@click.pass_obj
def create_user(settings: Settings, username: str, scope: str, password: str) -> None:
    """Make an account."""
    stores = Stores.of(settings)
    stores.database.migrate()
    try:
        user = accounts(stores, settings).create_user(username, password=password, scope=scope, actor=operator())
    except (UserExistsError, InvalidValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user.username} may sign in, with the scope {user.scope!r}.")
