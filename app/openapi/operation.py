"""Operation: what a route takes and answers, read from the signature of its view.

One declaration serves three readers: the request is checked against it before the view runs, mypy holds the view to
it, and `/openapi.json` describes it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from flask import Response, jsonify, request
from pydantic import TypeAdapter, ValidationError

from app.problems import Problem, read_json

View = Callable[..., Any]

#: How a caller may prove who it is, where the route itself decides about that. `@bearer.required` needs no word here.
Proof = Literal["nothing", "bearer", "bearer, if any", "client"]

_ATTRIBUTE: Final = "openapi_operation"


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful answer: its model is a type that pydantic can describe, or None where there is no body."""

    model: Any = None
    description: str = ""
    media_type: str = "application/json"
    #: Headers beyond those that every decided response has, and what they say.
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is known of a route beyond its rule, its docstring and its `@bearer.required`."""

    answers: Mapping[int, Answer]
    refuses: Mapping[int, str]
    #: The type of each parameter in the path, by its name.
    path: Mapping[str, Any]
    #: A TypedDict; None where there are no parameters.
    query: Any
    #: Whether a query is nobody's business here.
    ignores_query: bool
    #: A pydantic model of a JSON body.
    body: Any
    body_required: bool
    #: A form. Such routes answer errors as RFC 6749, section 5.2, writes them, all others as problem details.
    form: Any
    proof: Proof


def operation(
    answers: Mapping[int, Any] | Any = None,
    *,
    refuses: Mapping[int, str] | None = None,
    status: int = 200,
    form: Any = None,
    ignores_query: bool = False,
    proof: Proof = "nothing",
) -> Callable[[View], Callable[..., Response]]:
    """Check what a view takes, turn what it returns into JSON, and describe both in `/openapi.json`.

    The view's argument `query` is a TypedDict and `body` a pydantic model, or `Model | None` where the body may be
    left out; its other arguments are in the path. A parameter that `query` does not have, or one that is there twice,
    is refused, unless the route `ignores_query`, as those with a form do (RFC 6749, section 3.2). It returns the
    answer's TypedDict, or a pair of it and `Literal[status]`. A view that makes its own Response names its `answers`:
    `@operation(Me)`, or `@operation({201: Created})`. What follows from `@bearer.required`, from a body or from a form
    is documented already, 401, 403, 413, 415 and 503 among it; `refuses` adds to it.
    """

    def tell(view: View) -> Callable[..., Response]:
        hints = get_type_hints(view, include_extras=True)
        returned = hints.pop("return")
        given = dict(_returned(returned, status)) if answers is None else answers
        query, body = hints.pop("query", None), hints.pop("body", None)
        is_optional = type(None) in get_args(body)
        told = Operation(
            answers={
                number: answer if isinstance(answer, Answer) else Answer(answer)
                for number, answer in (given if isinstance(given, Mapping) else {status: given}).items()
            },
            refuses=refuses or {},
            path=hints,
            query=query,
            ignores_query=ignores_query or form is not None,
            body=get_args(body)[0] if is_optional else body,
            body_required=not is_optional,
            form=form,
            proof=proof,
        )
        read_query = _no_query if query is None else _query_reader(query)

        @wraps(view)
        def answering(**taken: Any) -> Response:
            if not told.ignores_query:
                taken |= read_query()
            if told.body is not None:
                taken["body"] = read_json(told.body) if told.body_required or request.get_data() else None
            return _response(view(**taken), status)

        vars(answering)[_ATTRIBUTE] = told
        return answering

    return tell


def operation_of(view: View) -> Operation | None:
    """What a view was told to take and answer; None for pages and files."""
    found: Operation | None = vars(view).get(_ATTRIBUTE)
    return found


def _returned(annotation: Any, status: int) -> Iterator[tuple[int, Any]]:
    """The statuses of a return annotation with their models: `Me`, or `tuple[Made, Literal[201]] | tuple[...]`."""
    pairs = [pair for pair in (annotation, *get_args(annotation)) if get_origin(pair) is tuple]
    if not pairs:
        yield status, annotation
    for model, number in map(get_args, pairs):
        yield get_args(number)[0], model


def _no_query() -> dict[str, Any]:
    _require_known(frozenset())
    return {}


def _require_known(known: frozenset[str]) -> None:
    """Refuse parameters that are not there, and those that are there twice.

    A filter that is ignored shows everything, and whoever asked takes it for what was asked for; so does a change that
    was only to be tried.
    """
    for name, values in request.args.lists():
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise Problem(400, f"There is no parameter {name[:80]!a} here; there are {there}.", reason="invalid")
        if len(values) > 1:
            raise Problem(400, f"The parameter {name} is there twice.", reason="invalid")


def _query_reader(model: Any) -> Callable[[], dict[str, Any]]:
    """A function that reads the query as its model says.

    A parameter that is required and missing counts as an empty one: the view refuses both in the same words.
    """
    adapter = TypeAdapter(model)
    empty = dict.fromkeys(model.__required_keys__, "")
    known = model.__required_keys__ | model.__optional_keys__

    def read() -> dict[str, Any]:
        _require_known(known)
        try:
            return {"query": adapter.validate_python({**empty, **request.args.to_dict()})}
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            raise Problem(400, " ".join(problem["msg"] for problem in problems), reason="invalid") from error

    return read


def _response(returned: Any, status: int) -> Response:
    if isinstance(returned, Response):
        return returned
    answer, number = returned if isinstance(returned, tuple) else (returned, status)
    response = jsonify(answer)
    response.status_code = number
    return response
