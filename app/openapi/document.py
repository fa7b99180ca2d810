"""Document: the OpenAPI 3.1 description of an app, from its rules, its views and the types they answer with."""

import inspect
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from flask import Flask
from werkzeug.routing import Rule

from app.openapi.example import example
from app.openapi.models import Models
from app.openapi.operation import Answer, Operation, operation_of
from app.openapi.refusals import BEARER, CLIENT, OAUTH_ERROR, PROBLEM, SERVER_TIMING, headers, refusals
from revocation.flask import Requirement, requirement

#: What the parts of the API are called, in the order in which they are read; a part is one blueprint or several.
PARTS: Final[dict[str, str]] = {
    "auth": "Sign-in and sessions",
    "oauth": "OAuth 2.0",
    "verify": "Forward authentication",
    "resources": "Sample API",
    "admin": "Administration",
    "console": "Console",
    "wellknown": "Discovery",
    "operations": "Operations",
    "demo": "Playground",
    "docs": "This reference",
}

_SUMMARY = """\
Tokens that can be taken back: sign in, call an API, log out, and be refused at once.

Times are RFC 3339, in UTC, with milliseconds. Durations are seconds. Names that end in `_id` are opaque."""

_SECURITY_SCHEMES: Final = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token in the `Authorization` header, and nowhere else (RFC 6750, section 2.1).",
    },
    CLIENT: {
        "type": "http",
        "scheme": "basic",
        "description": "A client's id and secret (RFC 6749, section 2.3.1). The form fields `client_id` and "
        "`client_secret` will do as well. `first-party`, the client of login tokens, is public and has no secret.",
    },
}

#: What Flask adds to every GET by itself.
_AUTOMATIC: Final = frozenset({"HEAD", "OPTIONS"})

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_CONVERTER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_BLANK_LINE = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Route:
    """One rule with one method, and what its view says of itself."""

    rule: Rule
    method: str
    told: Operation
    #: What its token must be; None where it needs none.
    required: Requirement | None
    blueprint: str
    view: Any


def routes(app: Flask) -> Iterator[Route]:
    """Everything that is described: each rule, with each of its methods."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        told = operation_of(view)
        if told is None:
            continue
        added = _AUTOMATIC if getattr(rule, "provide_automatic_options", True) else frozenset()
        required = requirement(view) or (Requirement(None, None) if told.proof == "bearer" else None)
        for method in sorted((rule.methods or set()) - added, key=_METHODS.index):
            yield Route(rule, method, told, required, rule.endpoint.partition(".")[0], view)


def document(app: Flask, *, issuer: str) -> dict[str, Any]:
    """The description, as JSON takes it. `issuer` is the address that clients use."""
    known = list(routes(app))
    models = Models([*_types(known), PROBLEM[0], OAUTH_ERROR[0]])
    paths: dict[str, dict[str, Any]] = {}
    for route in known:
        paths.setdefault(_path(route.rule), {})[route.method.lower()] = _operation(route, models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "revocation: the auth service",
            "version": version("revocation"),
            "description": _SUMMARY,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": issuer}],
        "tags": _tags(app, known),
        "paths": paths,
        "components": {"schemas": dict(sorted(models.schemas.items())), "securitySchemes": _SECURITY_SCHEMES},
    }


def _path(rule: Rule) -> str:
    return _CONVERTER.sub(r"{\1}", rule.rule)


def _types(known: list[Route]) -> Iterator[Any]:
    for route in known:
        yield from (one for one in (route.told.body, route.told.form) if one is not None)
        yield from (answer.model for answer in route.told.answers.values() if answer.model is not None)


def _tags(app: Flask, known: list[Route]) -> list[dict[str, str]]:
    """The parts that have routes, each with what its modules say of themselves."""
    there = {route.blueprint for route in known}
    said: dict[str, list[str]] = {}
    for name, title in PARTS.items():
        if name in there:
            module = sys.modules[app.blueprints[name].import_name]
            said.setdefault(title, []).append(" ".join(inspect.cleandoc(module.__doc__ or "").split("\n\n")[0].split()))
    return [{"name": title, "description": " ".join(sentences)} for title, sentences in said.items()]


def _operation(route: Route, models: Models) -> dict[str, Any]:
    summary, *paragraphs = _BLANK_LINE.split(inspect.cleandoc(route.view.__doc__ or ""))
    described: dict[str, Any] = {
        "operationId": "_".join(
            [route.method.lower(), route.blueprint, route.view.__name__, *sorted(route.rule.arguments)]
        ),
        "tags": [PARTS[route.blueprint]],
        "summary": " ".join(summary.split()),
        "description": "\n\n".join(" ".join(one.split()) for one in paragraphs),
        "parameters": list(_parameters(route)),
        "responses": {
            **{str(status): _answer(answer, route, models) for status, answer in route.told.answers.items()},
            **{
                str(status): _refusal(status, text, route, models)
                for status, text in refusals(route.told, route.required).items()
            },
        },
    }
    security = _security(route)
    if security:
        described["security"] = security
    if route.required is not None and route.required.max_staleness is not None:
        described["x-max-staleness"] = _staleness(route.required.max_staleness)
    for model, media_type in (
        (route.told.body, "application/json"),
        (route.told.form, "application/x-www-form-urlencoded"),
    ):
        if model is not None:
            schema = models.of(model)
            content = {"schema": schema, "example": example(schema, models.schemas)}
            described["requestBody"] = {"required": route.told.body_required, "content": {media_type: content}}
    return {key: value for key, value in described.items() if value not in ("", [])}


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    in_path = {name: model for name, model in route.told.path.items() if name in route.rule.arguments}
    for name, model in in_path.items():
        yield _parameter(name, "path", Models([model]).of(model), required=True)
    if route.told.query is not None:
        models = Models([route.told.query], mode="validation")
        schema = models.resolved(models.of(route.told.query))
        for name, member in schema["properties"].items():
            yield _parameter(name, "query", member, required=name in schema.get("required", ()))


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    shown = {"example": schema["examples"][0]} if "examples" in schema else {}
    bare = {key: value for key, value in schema.items() if key not in ("description", "examples")}
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": schema.get("description", ""),
        "schema": bare,
        **shown,
    }


def _answer(answer: Answer, route: Route, models: Models) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    sent = {
        name: {"description": text, "required": True, "schema": {"type": "string"}}
        for name, text in answer.headers.items()
    }
    if route.required is not None:
        sent["Server-Timing"] = {**SERVER_TIMING, "required": True}
    if sent:
        described["headers"] = sent
    if answer.model is not None:
        schema = models.of(answer.model)
        if not answer.description:
            described["description"] = models.resolved(schema).get("description", "")
        content = {"schema": schema, "example": example(schema, models.schemas)}
        described["content"] = {answer.media_type: content}
    return described


def _refusal(status: int, text: str, route: Route, models: Models) -> dict[str, Any]:
    model, media_type = PROBLEM if route.told.form is None else OAUTH_ERROR
    described: dict[str, Any] = {"description": text, "content": {media_type: {"schema": models.of(model)}}}
    sent = headers(status, route.required)
    return described | ({"headers": sent} if sent else {})


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.required is not None:
        # For a scheme that is not OAuth's, 3.1 has the names of roles here: the words of the scope.
        return [{BEARER: (route.required.scope or "").split()}]
    match route.told.proof:
        case "bearer, if any":
            return [{BEARER: []}, {}]
        case "client":
            # Or by the form, which OpenAPI has no scheme for.
            return [{CLIENT: []}, {}]
        case _:
            return []


def _staleness(seconds: float) -> float | str:
    """As JSON can say it."""
    return "inf" if seconds == math.inf else seconds
