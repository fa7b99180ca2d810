"""Users: the accounts that people sign in with."""

from typing import Annotated, Final, NotRequired

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.instants import milliseconds
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import (
    PAGE_SIZE,
    UNKNOWN_USER,
    AtCursor,
    Cursor,
    Instant,
    ReceiptAnswer,
    ReceiptJson,
    Scope,
    Username,
    paged,
    receipt_json,
)
from app.users import User, UserNotFoundError
from revocation.instants import rfc3339

routes = Blueprint("users", __name__)

_LAST: Final = "`last_administrator`: nobody could administer any more."


class NewUser(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    username: str = Field(
        description="The `sub` of its tokens; never used twice. 1 to 64 letters, digits and `._@+-`, all ASCII: two "
        " names that look alike would be two people.",
        examples=["ada"],
    )
    password: str = Field(
        description="8 to 1024 characters, and none of the first that somebody would guess.",
        examples=["correct horse battery"],
    )
    scope: str = Field(default="", description="What its tokens may do, space-separated.", examples=["reports:read"])


class ChangedUser(BaseModel):
    """Changes of an account; members that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: str | None = None
    scope: str | None = None
    disabled: bool | None = Field(default=None, description="Whether it is kept from signing in.", examples=[True])

    @model_validator(mode="after")
    def _something(self) -> "ChangedUser":
        if self.password is None and self.scope is None and self.disabled is None:
            raise ValueError("give a password, a scope, or disabled")
        return self


class UserJson(TypedDict):
    """An account."""

    username: Username
    scope: Scope
    disabled: Annotated[bool, Field(examples=[False])]
    created_at: Instant


class UserChanged(UserJson):
    """The account as it is now, and what taking its tokens back has reached."""

    receipt: Annotated[
        ReceiptJson | None, Field(description="Null where nothing was taken back: nothing changed, or it was enabled.")
    ]


class UsersQuery(TypedDict):
    """The accounts to list."""

    disabled: NotRequired[Annotated[bool, Field(description="Only those that are disabled, or are not.")]]
    cursor: NotRequired[AtCursor]


class UsersPage(TypedDict):
    """A page of accounts."""

    users: list[UserJson]
    next_cursor: Cursor


@routes.get("/users")
@admin_required
@operation(refuses={400: "`invalid`: a cursor from elsewhere."})
def users(query: UsersQuery) -> UsersPage:
    """The accounts, in the order of their names. Deleted ones are not among them."""
    found = service().stores.users.page(
        after=query.get("cursor", ""), limit=PAGE_SIZE + 1, disabled=query.get("disabled")
    )
    page, next_cursor = paged(found, lambda user: user.username)
    return {
        "users": [_user_json(user) for user in page],
        "next_cursor": next_cursor,
    }


@routes.post("/users")
@admin_required
@operation(status=201, refuses={409: "`exists`: the name is taken, for ever."})
def create_user(body: NewUser) -> UserJson:
    """A new account."""
    user = service().accounts.create_user(
        body.username, password=body.password, scope=body.scope, actor=actor(bearer.claims.subject)
    )
    return _user_json(user)


@routes.get("/users/<username>")
@admin_required
@operation(refuses={404: UNKNOWN_USER})
def user(username: Username) -> UserJson:
    """One account."""
    found = service().stores.users.get(username)
    if found is None:
        raise UserNotFoundError
    return _user_json(found)


@routes.patch("/users/<username>")
@admin_required
@operation(refuses={404: UNKNOWN_USER, 409: _LAST})
def change_user(username: Username, body: ChangedUser) -> UserChanged:
    """Change an account, and take back everything it holds, unless nothing changed."""
    user, receipt = service().accounts.change_user(
        username,
        password=body.password,
        scope=body.scope,
        disabled=body.disabled,
        actor=actor(bearer.claims.subject),
    )
    return {**_user_json(user), "receipt": None if receipt is None else receipt_json(receipt)}


@routes.delete("/users/<username>")
@admin_required
@operation(refuses={404: UNKNOWN_USER, 409: _LAST})
def delete_user(username: Username) -> ReceiptAnswer:
    """Delete an account for good, and take back everything it holds.

    Its password, scope and sessions, with their addresses and programs, are deleted. The name stays taken: a hash of it
    is kept, and the audit log names it for as long as it keeps its records.
    """
    receipt = service().accounts.delete_user(username, actor=actor(bearer.claims.subject))
    return {"receipt": receipt_json(receipt)}


def _user_json(user: User) -> UserJson:
    return {
        "username": user.username,
        "scope": user.scope,
        "disabled": user.disabled,
        "created_at": rfc3339(milliseconds(user.created_at)),
    }
