"""Reference: what a page about an OpenAPI document shows, in the order in which it is read."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from app.openapi.curl import curl
from app.openapi.models import resolved
from app.openapi.refusals import BEARER

_NOT_IN_ANCHORS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter, or one member of a body."""

    name: str
    type: str
    required: bool
    description: str
    #: How deep it stands in the body.
    depth: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer."""

    status: int
    phrase: str
    description: str
    headers: list[Member]
    members: list[Member]
    example: str

    @property
    def is_success(self) -> bool:
        """Whether it is what was asked for."""
        return self.status < HTTPStatus.BAD_REQUEST


@dataclass(frozen=True, slots=True)
class Entry:
    """One path, with all methods that mean the same there."""

    anchor: str
    path: str
    methods: list[str]
    summary: str
    paragraphs: list[str]
    #: What one has to prove, in words.
    needs: str
    #: How old the knowledge of revocations may be that it decides by; empty where no token is checked.
    staleness: str
    parameters: list[Member]
    body: list[Member]
    curl: str
    answers: list[Shown]


@dataclass(slots=True)
class Section:
    """One part of the API."""

    anchor: str
    title: str
    description: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole of it."""

    paragraphs: list[str]
    sections: list[Section]
    #: What errors look like: problem details, and those of OAuth.
    problem: list[Member]
    oauth_error: list[Member]


def reference(document: dict[str, Any]) -> Reference:
    """The document as a page shows it."""
    reading = _Reading(document)
    sections = {tag["name"]: Section(_anchor(tag["name"]), tag["name"], tag["description"]) for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for methods, operation in _merged(operations):
            sections[operation["tags"][0]].entries.append(reading.entry(path, methods, operation))
    return Reference(
        paragraphs=[" ".join(one.split()) for one in document["info"]["description"].split("\n\n")],
        sections=list(sections.values()),
        problem=list(reading.members({"$ref": "#/components/schemas/Problem"})),
        oauth_error=list(reading.members({"$ref": "#/components/schemas/OAuthError"})),
    )


class _Reading:
    """Reads schemas, with those they refer to at hand."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
        self._address: str = document["servers"][0]["url"]

    def entry(self, path: str, methods: list[str], operation: dict[str, Any]) -> Entry:
        """What is shown of one operation."""
        parameters = [
            Member(
                one["name"],
                self._type(one["schema"]),
                one["required"],
                one["description"],
                place=one["in"],
            )
            for one in operation.get("parameters", ())
        ]
        body = next(iter(operation.get("requestBody", {}).get("content", {}).values()), None)
        return Entry(
            anchor=_anchor(f"{methods[0]} {path}"),
            path=path,
            methods=methods,
            summary=operation["summary"],
            paragraphs=[one for one in operation.get("description", "").split("\n\n") if one],
            needs=_needs(operation),
            staleness=_staleness(operation),
            parameters=parameters,
            body=list(self.members(body["schema"])) if body else [],
            curl=curl(self._address, path, methods[0], operation),
            answers=[self._shown(int(status), answer) for status, answer in operation["responses"].items()],
        )

    def members(self, schema: dict[str, Any], depth: int = 0) -> Iterator[Member]:
        """The members of a schema, and theirs, in the order in which they are written."""
        schema = resolved(schema, self._schemas)
        if "properties" not in schema:
            for one in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
                yield from self.members(one, depth)
            return
        for name, member in schema["properties"].items():
            required = name in schema.get("required", ())
            described = resolved(member, self._schemas).get("description", "")
            yield Member(name, self._type(member), required, described, depth=depth)
            yield from self.members(member, depth + 1)

    def _type(self, schema: dict[str, Any]) -> str:
        """In a word or two."""
        if "$ref" in schema:
            return "object"
        if "anyOf" in schema:
            return " or ".join(self._type(one) for one in schema["anyOf"])
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return ", ".join(schema["enum"])
        if schema.get("type") == "array":
            return f"array of {self._type(schema.get('items', {}))}"
        return str(schema.get("format", schema.get("type", "any")))

    def _shown(self, status: int, answer: dict[str, Any]) -> Shown:
        content: dict[str, Any] = next(iter(answer.get("content", {}).values()), {})
        headers = [
            Member(name, "header", required=True, description=one["description"])
            for name, one in answer.get("headers", {}).items()
        ]
        is_success = status < HTTPStatus.BAD_REQUEST
        example = content.get("example")
        shown = "" if example is None else example if isinstance(example, str) else json.dumps(example, indent=2)
        return Shown(
            status,
            HTTPStatus(status).phrase,
            answer["description"],
            headers,
            list(self.members(content["schema"])) if is_success and content else [],
            shown,
        )


def _merged(operations: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Methods that mean the same are one entry."""
    merged: list[tuple[list[str], dict[str, Any], dict[str, Any]]] = []
    for method, operation in operations.items():
        said = {key: value for key, value in operation.items() if key != "operationId"}
        same = next((methods for methods, _, known in merged if known == said), None)
        if same is None:
            merged.append(([method.upper()], operation, said))
        else:
            same.append(method.upper())
    yield from ((methods, operation) for methods, operation, _ in merged)


def _needs(operation: dict[str, Any]) -> str:
    security: list[dict[str, list[str]]] = operation.get("security", [])
    if not security:
        return ""
    scheme, scope = next(iter(security[0].items()))
    if scheme != BEARER:
        return "A client: `Basic` authentication, or `client_id` and `client_secret` in the form"
    if {} in security:
        return "A bearer token, if any"
    return f"A bearer token with the scope `{' '.join(scope)}`" if scope else "A bearer token"


def _staleness(operation: dict[str, Any]) -> str:
    """What `max_staleness` means for the caller."""
    if "Server-Timing" not in next(iter(operation["responses"].values())).get("headers", {}):
        return ""
    match operation.get("x-max-staleness"):
        case None:
            return "Bounded by `REVOCATION_MAX_STALENESS`"
        case 0:
            return "Strict: asks Redis each time"
        case "inf":
            return "Stateless: nobody is asked"
        case seconds:
            return f"Bounded by {seconds} s"


def _anchor(text: str) -> str:
    # A slash at the end is another path, and so another anchor.
    return _NOT_IN_ANCHORS.sub("-", re.sub("[{}]", "", text.lower()))
