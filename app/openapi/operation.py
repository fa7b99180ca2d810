"""Operation: what a route takes and answers, said beside the route. `/openapi.json` is made of these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

V = TypeVar("V", bound=Callable[..., Any])

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
    #: A JSON body.
    body: Any
    body_required: bool
    #: A form. Such routes answer errors as RFC 6749, section 5.2, writes them, all others as problem details.
    form: Any
    #: A TypedDict: the fields that the rule names are in the path, the others in the query.
    parameters: Any
    proof: Proof


def operation(
    answers: Mapping[int, Any] | Any,
    *,
    refuses: Mapping[int, str] | None = None,
    body: Any = None,
    body_required: bool = True,
    form: Any = None,
    parameters: Any = None,
    proof: Proof = "nothing",
) -> Callable[[V], V]:
    """Say what a view takes and answers: `@operation(Me)`, or `@operation({201: Created}, refuses={409: "..."})`.

    What follows from `@bearer.required`, from a body or from a form is known already, 401, 403, 413, 415 and 503
    among it; `refuses` adds to it.
    """
    by_status = answers if isinstance(answers, Mapping) else {200: answers}
    told = Operation(
        {status: one if isinstance(one, Answer) else Answer(one) for status, one in by_status.items()},
        refuses or {},
        body,
        body_required,
        form,
        parameters,
        proof,
    )

    def tell(view: V) -> V:
        vars(view)[_ATTRIBUTE] = told
        return view

    return tell


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """What a view was told to take and answer; None for pages and files."""
    found: Operation | None = vars(view).get(_ATTRIBUTE)
    return found
