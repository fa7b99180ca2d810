"""What the playground calls: one resource behind each way of knowing a caller, and ways to take things back.

It is registered with the embedded store only.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import bearer
from app.demonstration import BRIEF_SECONDS, Demonstration, entries_of
from app.openapi import Answer, operation
from app.problems import Problem
from app.routes.context import actor, service
from app.routes.formats import ReceiptAnswer, Subject, receipt_json
from revocation import Claims, Refused
from revocation.denylist import is_revoked
from revocation.flask import bearer_token
from revocation.handles import Kind

routes = Blueprint("demo", __name__, url_prefix="/demo")

_NO_SESSION: Final = {"WWW-Authenticate": "Session"}


class Greeting(TypedDict):
    """The resource."""

    hello: Subject
    worker: Annotated[int, Field(description="The process that answered.", examples=[4711])]


class EntryJson(TypedDict):
    """The entry of the deny-list under one handle of the token."""

    kind: Kind
    key: Annotated[str, Field(description="In Redis.", examples=["{denylist}:subject:~9f86d081:demo"])]
    present: Annotated[bool, Field(description="Whether there is an entry.", examples=[True])]
    refuses: Annotated[bool, Field(description="Whether it concerns this token.", examples=[True])]
    expires_in_seconds: Annotated[float | None, Field(description="Null: no entry, or until undone.", examples=[899.5])]


class Entries(TypedDict):
    """One entry for each handle."""

    entries: list[EntryJson]


class SessionBegun(TypedDict):
    """A session of the server's own."""

    session_id: Annotated[str, Field(description="It says nothing by itself.", examples=["N3eT0bRrA2CzpmqhyFj3Kw"])]


class BriefToken(TypedDict):
    """A token with a short life."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9..."])]
    expires_in: Annotated[int, Field(description="Seconds.", examples=[20])]


class BriefEntry(TypedDict):
    """The entry of one token."""

    key: Annotated[str, Field(description="In Redis.", examples=["{denylist-demo}:token:~9f86d081:N3eT0bRrA2Cz"])]
    expires_in_seconds: Annotated[float | None, Field(description="Null: there is none.", examples=[12.5])]


class OutageSample(TypedDict):
    """What a request was answered at one moment."""

    at_seconds: Annotated[float, Field(description="Since the first sample.", examples=[1.2])]
    is_redis_away: Annotated[bool, Field(description="Whether Redis was stopped.", examples=[True])]
    answers: Annotated[
        dict[str, int],
        Field(
            description="HTTP status by way.",
            examples=[{"session": 503, "stateless": 200, "bounded": 200, "strict": 503}],
        ),
    ]


@routes.get("/stateless")
@bearer.required(max_staleness=math.inf)
@operation(Greeting)
def stateless() -> Response:
    """A resource that asks nobody whether the token was revoked."""
    return _resource()


@routes.get("/bounded")
@bearer.required()
@operation(Greeting)
def bounded() -> Response:
    """A resource at the service's own `max_staleness`: decided from the worker's copy of the deny-list."""
    return _resource()


@routes.get("/strict")
@bearer.required(max_staleness=0)
@operation(Greeting)
def strict() -> Response:
    """A resource that asks Redis each time."""
    return _resource()


@routes.post("/session")
@bearer.required()
@operation()
def begin_session() -> tuple[SessionBegun, Literal[201]]:
    """Begin a session as a service without tokens keeps it: a record in Redis."""
    return {"session_id": _shown().server_sessions.begin(bearer.claims.subject)}, 201


@routes.get("/session")
@operation(Greeting, refuses={401: "`session_ended`: there is no such session.", 503: "Redis does not answer."})
def session() -> Response:
    """A resource that looks the session up in Redis; send `Authorization: Session` and its id."""
    started = time.perf_counter()
    username = _shown().server_sessions.username(_session_id())
    took = 1000 * (time.perf_counter() - started)
    if username is None:
        raise Problem(401, "The session has ended.", reason="session_ended", headers=_NO_SESSION)
    response = _unkept({"hello": username, "worker": os.getpid()})
    response.headers["Server-Timing"] = f'session;dur={took:.3f};desc="redis"'
    return response


@routes.delete("/session")
@operation({204: Answer(description="It has ended.")}, refuses={401: "`session_ended`: none was named."})
def end_session() -> Response:
    """End the session that the request names; it may have ended already."""
    _shown().server_sessions.end(_session_id())
    return Response(status=204)


@routes.post("/brief")
@bearer.required(max_staleness=math.inf)
@operation(BriefToken)
def mint_brief() -> Response:
    """A token that lives for 20 seconds, for the `/demo/brief` routes. A token that was revoked may ask as well."""
    return _unkept({"access_token": _shown().brief_tokens.mint(bearer.claims.subject), "expires_in": BRIEF_SECONDS})


@routes.get("/brief")
@operation(Greeting, proof="bearer")
def brief() -> Response:
    """A resource for such a token."""
    decision = _shown().brief_tokens.decide(bearer_token())
    if isinstance(decision, Refused):
        raise decision.error
    return _unkept({"hello": decision.claims.subject, "worker": os.getpid()})


@routes.get("/brief/entry")
@operation(BriefEntry, proof="bearer")
def brief_entry() -> Response:
    """The entry of such a token in the deny-list; a token that was revoked may ask as well."""
    entry = _shown().brief_tokens.entry(_brief_claims())
    return _unkept({"key": entry.key, "expires_in_seconds": entry.expires_in_seconds})


@routes.post("/brief/revoke")
@operation({204: Answer(description="It is revoked.")}, proof="bearer")
def revoke_brief() -> Response:
    """Revoke such a token."""
    _shown().brief_tokens.revoke(_brief_claims())
    return Response(status=204)


@routes.post("/outage")
@bearer.required()
@operation(
    Answer(OutageSample, description="One sample in each line, as it is taken.", media_type="application/x-ndjson"),
    refuses={429: "`busy`: somebody else is trying it."},
)
def outage() -> Response:
    """Stop a Redis that was started for this, and tell what each way of knowing a caller answers meanwhile."""
    token, shown = bearer_token(), _shown()
    if not shown.outage.begins():
        raise Problem(
            429, "Somebody else is trying it. Try again in some seconds.", reason="busy", headers={"Retry-After": "5"}
        )

    def lines() -> Iterator[str]:
        for sample in shown.outage.samples(token):
            told: OutageSample = {
                "at_seconds": round(sample.at_seconds, 3),
                "is_redis_away": sample.is_redis_away,
                "answers": sample.answers,
            }
            yield json.dumps(told) + "\n"

    return Response(lines(), mimetype="application/x-ndjson", headers={"Cache-Control": "no-store"})


@routes.post("/revoke")
@bearer.required(max_staleness=0)
@operation(ReceiptAnswer)
def revoke() -> Response:
    """Revoke the token that this request carries: what `/oauth/revoke` does, but with a receipt."""
    claims = bearer.claims
    receipt = service().revocations.revoke_token(
        claims, reason="tried in the playground", actor=actor(claims.subject), action="token.revoke"
    )
    return _unkept({"receipt": receipt_json(receipt)})


@routes.get("/denylist")
@bearer.required(max_staleness=math.inf)
@operation(Entries)
def denylist() -> Response:
    """The entries that a check of this token asks Redis for. A token that was revoked may ask as well."""
    return _unkept({"entries": _entries(bearer.claims)})


def _entries(claims: Claims) -> list[dict[str, Any]]:
    """One per handle; `expires_in_seconds` is null where there is no entry, or where it stands until undone.

    An entry that is there may still not refuse this token: its cut-off may lie before the token was made.
    """
    store = service().stores.denylist
    cutoffs = store.latest_cutoffs([[handle] for handle in claims.handles])
    return [
        {
            "kind": handle.kind,
            "key": entry.key,
            "present": entry.present,
            "refuses": is_revoked(claims, cutoff),
            "expires_in_seconds": entry.expires_in_seconds,
        }
        for handle, entry, cutoff in zip(claims.handles, entries_of(store, claims.handles), cutoffs, strict=True)
    ]


def _shown() -> Demonstration:
    """Made at the first use: where nobody plays, it costs nothing."""
    found: Demonstration | None = current_app.extensions.get("demonstration")
    if found is None:
        here = service()
        found = Demonstration.of(here.stores, here.settings, keys=here.keys, verifier=here.verifier)
        current_app.extensions["demonstration"] = found
    return found


def _session_id() -> str:
    scheme, _, id_ = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "session" or not id_.strip():
        raise Problem(
            401, "Send Authorization: Session, and the id of one.", reason="session_ended", headers=_NO_SESSION
        )
    return id_.strip()


def _brief_claims() -> Claims:
    """Those of a brief token that may be revoked, and of no other."""
    return _shown().brief_tokens.read(bearer_token())


def _resource() -> Response:
    return _unkept({"hello": bearer.claims.subject, "worker": os.getpid()})


def _unkept(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
