"""Keys: what tokens are signed with, the next one, and withdrawing one that leaked."""

from typing import Annotated, NotRequired

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.keyring import KeyState
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import Instant, ReceiptJson, RevocationJson, receipt_json, revocation_json
from revocation import Key
from revocation.instants import rfc3339

routes = Blueprint("keys", __name__)

KeyId = Annotated[str, Field(description="The `kid` of its tokens.", examples=["JkKzB0T5c1XnH8sE2vW7yA"])]


class KeyJson(TypedDict):
    """A signing key; of what is secret in it nothing is told."""

    key_id: KeyId
    algorithm: Annotated[str, Field(examples=["ES256"])]
    state: Annotated[
        KeyState,
        Field(description="`signs`: now. `next`: it will. `verifies`: the tokens that it signed are accepted."),
    ]
    signs_from: Instant


class Keys(TypedDict):
    """The keys, in the order in which they sign."""

    keys: list[KeyJson]


class Withdrawal(TypedDict):
    """Why a key is withdrawn."""

    reason: NotRequired[
        Annotated[str, Field(description="Why. It stands in the audit log.", examples=["backup was public"])]
    ]


class KeyWithdrawn(TypedDict):
    """Withdrawn: everything that the key signed is refused, and another one signs."""

    withdrawn: Annotated[bool, Field(description="False where it was not among the keys here any more.")]
    revocation: RevocationJson | None
    receipt: ReceiptJson


@routes.get("/keys")
@admin_required
@operation()
def keys() -> Keys:
    """The signing keys, and which one signs now."""
    found = service().stores.keyring.states()
    return {"keys": [_key_json(key, state) for key, state in found]}


@routes.post("/keys")
@admin_required
@operation(status=201)
def rotate_key() -> KeyJson:
    """Publish the next key; it signs in ten minutes, when everybody has had time to fetch it. Nobody is signed out."""
    by = actor(bearer.claims.subject)
    key = service().accounts.rotate_key(keep_seconds=service().settings.key_keep_seconds, actor=by)
    return _key_json(key, "next")


@routes.delete("/keys/<key_id>")
@admin_required
@operation(
    refuses={
        400: "`invalid`: no key can have this id, or the reason is too long.",
        409: "`conflict`: no more keys can be revoked.",
    }
)
def withdraw_key(key_id: KeyId, query: Withdrawal) -> KeyWithdrawn:
    """Withdraw a key that leaked: another one signs at once, and everything that this one signed is refused.

    Sessions go on, and get tokens of the key that signs now. For up to five seconds some processes sign with the old
    key; who gets such a token refreshes once more.
    """
    withdrawn, receipt = service().accounts.revoke_key(
        key_id, reason=query.get("reason", "key revoked"), actor=actor(bearer.claims.subject)
    )
    # The processes look at the files every few seconds; this one need not wait.
    service().keys.refreshed()
    return {
        "withdrawn": withdrawn,
        "revocation": None if receipt.revocation is None else revocation_json(receipt.revocation),
        "receipt": receipt_json(receipt),
    }


def _key_json(key: Key, state: KeyState) -> KeyJson:
    return {
        "key_id": key.id,
        "algorithm": key.algorithm,
        "state": state,
        "signs_from": rfc3339(key.signs_from * 1000),
    }
