"""The account of the playground. Its password is public, so it lives on the embedded store only."""

from app.users import UserExistsError, Users

USERNAME = "demo"
PASSWORD = "not a secret"

#: The scope of its tokens, which no route asks for.
SCOPE = "demo"


def open_account(users: Users) -> None:
    """Make the account where it was never made. An account that an administrator disabled stays disabled."""
    if users.get(USERNAME) is None:
        try:
            users.create(USERNAME, password=PASSWORD, scope=SCOPE)
        except UserExistsError:
            return


def close_account(users: Users) -> None:
    """Disable the account where an earlier start on the embedded store left it behind with its public password."""
    user = users.get(USERNAME)
    if user is not None and not user.disabled and users.authenticate(USERNAME, PASSWORD) is not None:
        users.change(USERNAME, disabled=True)
