"""Users: the accounts that people sign in with."""

from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import UNKNOWN_USER, ReceiptJson, Scope, Username, receipt_json
from app.users import User

routes = Blueprint("users", __name__)


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


class UserChanged(UserJson):
    """The account as it is now, and what taking its tokens back has reached."""

    receipt: ReceiptJson


@routes.post("/users")
@admin_required
@operation(status=201, refuses={409: "`exists`: the name is taken, for ever."})
def create_user(body: NewUser) -> UserJson:
    """A new account."""
    user = service().accounts.create_user(
        body.username, password=body.password, scope=body.scope, actor=actor(bearer.claims.subject)
    )
    return _user_json(user)


@routes.patch("/users/<username>")
@admin_required
@operation(refuses={404: UNKNOWN_USER})
def change_user(username: Username, body: ChangedUser) -> UserChanged:
    """Change an account, and take back everything it holds."""
    user, receipt = service().accounts.change_user(
        username,
        password=body.password,
        scope=body.scope,
        disabled=body.disabled,
        actor=actor(bearer.claims.subject),
    )
    return {**_user_json(user), "receipt": receipt_json(receipt)}


def _user_json(user: User) -> UserJson:
    return {"username": user.username, "scope": user.scope, "disabled": user.disabled}
