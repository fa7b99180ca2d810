"""The account of the playground. Its password is published, so it may sign in on the embedded store only."""

from app.users import UserExistsError, Users

USERNAME = "demo"
PASSWORD = "not a secret"

#: What its tokens may do: nothing that any route asks for.
SCOPE = "demo"


def open_account(users: Users) -> None:
    """Make the account, where it was never made; an admin who disabled it is not overruled."""
    if users.get(USERNAME) is None:
        try:
            users.create(USERNAME, password=PASSWORD, scope=SCOPE)
        except UserExistsError:
            return


def close_account(users: Users) -> None:
    """Disable the account if it is left over from a start on the embedded store, its published password unchanged."""
    user = users.get(USERNAME)
    if user is not None and not user.disabled and users.authenticate(USERNAME, PASSWORD) is not None:
        users.change(USERNAME, disabled=True)
