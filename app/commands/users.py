"""`python -m app users`."""

import click

from app.commands.operator import administering, operator, stores_of
from app.scopes import ADMIN_SCOPE
from app.settings import Settings
from app.users import User

_PAGE = 500


@click.group()
def users() -> None:
    """Accounts. They can be brought back here, whatever became of them, unless they were deleted."""


_password = click.option(
    "--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for if left out."
)


@users.command("list")
@click.pass_obj
def list_users(settings: Settings) -> None:
    """Every account that was not deleted."""
    stores = stores_of(settings)
    after = ""
    while page := stores.users.page(after=after, limit=_PAGE):
        for user in page:
            click.echo(f"{user.username}  {'disabled' if user.disabled else 'active':8}  {user.scope}".rstrip())
        after = page[-1].username


@users.command("create")
@click.argument("username")
@click.option("--scope", default="", help="What the user's tokens may do, space-separated.")
@click.option("--admin", "administers", is_flag=True, help=f"The user may administer: adds the scope {ADMIN_SCOPE}.")
@_password
@click.pass_obj
def create_user(settings: Settings, username: str, scope: str, *, administers: bool, password: str) -> None:
    """Make an account."""
    with administering(settings, redis=False) as accounts:
        words = f"{scope} {ADMIN_SCOPE}" if administers else scope
        user = accounts.create_user(username, password=password, scope=words, actor=operator())
    click.echo(f"{user.username} may sign in, with {_scope(user)}.")


@users.command("password")
@click.argument("username")
@_password
@click.pass_obj
def set_password(settings: Settings, username: str, password: str) -> None:
    """Set a password, and take back the tokens of the account."""
    with administering(settings) as accounts:
        user, _ = accounts.change_user(username, password=password, actor=operator())
    click.echo(f"{user.username} has this password now, and the tokens of before are revoked.{_hint(user)}")


@users.command("scope")
@click.argument("username")
@click.argument("scope")
@click.pass_obj
def set_scope(settings: Settings, username: str, scope: str) -> None:
    """Set what the tokens of an account may do, space-separated, and take back those it has."""
    with administering(settings) as accounts:
        user, receipt = accounts.change_user(username, scope=scope, actor=operator())
    if receipt is None:
        click.echo(f"{user.username} had {_scope(user)} already, so nothing was changed.{_hint(user)}")
    else:
        click.echo(f"{user.username} has {_scope(user)} now, and the tokens of before are revoked.{_hint(user)}")


@users.command("enable")
@click.argument("username")
@click.pass_obj
def enable_user(settings: Settings, username: str) -> None:
    """Let an account sign in again."""
    with administering(settings) as accounts:
        user, _ = accounts.change_user(username, disabled=False, actor=operator())
    click.echo(f"{user.username} may sign in, with {_scope(user)}.")


@users.command("disable")
@click.argument("username")
@click.pass_obj
def disable_user(settings: Settings, username: str) -> None:
    """Keep an account from signing in, and take back the tokens it has."""
    with administering(settings) as accounts:
        user, receipt = accounts.change_user(username, disabled=True, actor=operator())
    if receipt is None:
        click.echo(f"{user.username} was disabled already, so nothing was changed.")
    else:
        click.echo(f"{user.username} is disabled, and its tokens are revoked.")


@users.command("unlock")
@click.argument("username", required=False)
@click.option("--address", help="Also, or instead: everything that failed at this address.")
@click.pass_obj
def unlock(settings: Settings, username: str | None, address: str | None) -> None:
    """Forget the failures to sign in to an account, or at an address."""
    if username is None and address is None:
        raise click.UsageError("Name an account, or an --address.")
    with administering(settings) as accounts:
        if username is not None:
            accounts.lift("user", username, actor=operator())
        if address is not None:
            accounts.lift_address(address, actor=operator())
    what = " and ".join(filter(None, (username, address)))
    click.echo(f"No failure is counted any more: {what}.")


@users.command("delete")
@click.argument("username")
@click.confirmation_option(prompt="The account cannot be brought back, and its name stays taken. Delete it?")
@click.pass_obj
def delete_user(settings: Settings, username: str) -> None:
    """Delete an account for good, and take back the tokens it has."""
    with administering(settings) as accounts:
        accounts.delete_user(username, actor=operator())
    click.echo(f"{username} is deleted, and its tokens are revoked.")


def _scope(user: User) -> str:
    return f"the scope {user.scope!r}" if user.scope else "no scope"


def _hint(user: User) -> str:
    return f" It is disabled: `python -m app users enable {user.username}` lets it sign in." if user.disabled else ""
