"""A view takes what its signature says, answers what it says, and is described by it."""

from typing import Annotated, Any, Literal, NotRequired

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from app import problems
from app.openapi import operation
from app.openapi.operation import operation_of

Name = Annotated[str, Field(description="A name.", examples=["ada"])]


def _even(text: str) -> int:
    if not text.isdigit() or int(text) % 2:
        raise PydanticCustomError("even", "size is an even number.")
    return int(text)


class Listing(TypedDict):
    kind: NotRequired[Literal["small", "large"]]
    size: NotRequired[Annotated[int, PlainValidator(_even, json_schema_input_type=str)]]
    owner: str


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str


class Seen(TypedDict):
    seen: dict[str, Any]


class Made(TypedDict):
    made: bool


@pytest.fixture
def client() -> FlaskClient:
    routes = Blueprint("parts", __name__)

    @routes.get("/listing")
    @operation()
    def listing(query: Listing) -> Seen:
        return {"seen": dict(query)}

    @routes.post("/named/<name>")
    @operation(status=201)
    def change(name: Name, body: Change) -> Seen:
        return {"seen": {"name": name, "title": body.title}}

    @routes.post("/optional")
    @operation()
    def optional(body: Change | None) -> tuple[Made, Literal[201]] | tuple[Seen, Literal[200]]:
        if body is None:
            seen: Seen = {"seen": {}}
            return seen, 200
        made: Made = {"made": True}
        return made, 201

    @routes.get("/somebody-elses")
    @operation(ignores_query=True)
    def somebody_elses() -> Made:
        return {"made": True}

    app = Flask(__name__)
    problems.register(app)
    app.register_blueprint(routes)
    return app.test_client()


def test_a_query_is_given_as_its_model_reads_it(client: FlaskClient) -> None:
    answer = client.get("/listing?kind=small&size=4&owner=ada")
    assert answer.get_json() == {"seen": {"kind": "small", "size": 4, "owner": "ada"}}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("kind=medium", "Input should be 'small' or 'large'"),
        ("size=3", "size is an even number."),
        ("size=", "size is an even number."),
        ("actor=ada", "There is no parameter 'actor' here; there are kind, owner, size."),
        ("kind=small&kind=large", "The parameter kind is there twice."),
        ("kind=small&kind=small", "The parameter kind is there twice."),
    ],
)
def test_a_query_that_its_model_refuses_is_a_problem_in_the_models_words(
    client: FlaskClient, query: str, detail: str
) -> None:
    answer = client.get(f"/listing?owner=ada&{query}")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.get_json()["reason"] == "invalid"
    assert answer.get_json()["detail"] == detail


def test_a_route_without_parameters_refuses_every_one(client: FlaskClient) -> None:
    refused = client.post("/optional?dry_run=true", json={"title": "first"})
    assert (refused.status_code, refused.get_json()["reason"]) == (400, "invalid")
    assert refused.get_json()["detail"] == "There is no parameter 'dry_run' here; there are none."


def test_a_query_that_is_nobodys_business_is_not_read(client: FlaskClient) -> None:
    assert client.get("/somebody-elses?a=1&a=2").get_json() == {"made": True}


def test_a_required_parameter_that_is_missing_counts_as_empty(client: FlaskClient) -> None:
    assert client.get("/listing").get_json() == client.get("/listing?owner=").get_json() == {"seen": {"owner": ""}}


def test_a_body_is_checked_before_the_view_runs(client: FlaskClient) -> None:
    made = client.post("/named/ada", json={"title": "first"})
    assert (made.status_code, made.get_json()) == (201, {"seen": {"name": "ada", "title": "first"}})
    for body in (b"", b"{", b"[]", b"0", b"null", b'"{}"', b'{"title": 1}', b'{"title": "a", "other": 1}'):
        refused = client.post("/named/ada", data=body, content_type="application/json")
        assert (refused.status_code, refused.get_json()["reason"]) == (400, "invalid"), body
    assert client.post("/named/ada", data=b"{}", content_type="text/plain").status_code == 415


def test_a_body_may_be_left_out_where_its_type_says_so_and_then_each_status_has_its_model(client: FlaskClient) -> None:
    without, with_one = client.post("/optional"), client.post("/optional", json={"title": "first"})
    assert (without.status_code, without.get_json()) == (200, {"seen": {}})
    assert (with_one.status_code, with_one.get_json()) == (201, {"made": True})
    assert client.post("/optional", data=b"{", content_type="application/json").status_code == 400


def test_an_operation_is_what_the_signature_says(client: FlaskClient) -> None:
    told = {name: operation_of(view) for name, view in client.application.view_functions.items()}
    listing, change, optional = (told[f"parts.{name}"] for name in ("listing", "change", "optional"))
    assert listing is not None
    assert change is not None
    assert optional is not None
    assert (listing.query, listing.body, listing.path) == (Listing, None, {})
    assert (change.query, change.body, change.body_required, change.path) == (None, Change, True, {"name": Name})
    assert (optional.body, optional.body_required) == (Change, False)
    assert {status: answer.model for status, answer in change.answers.items()} == {201: Seen}
    assert {status: answer.model for status, answer in optional.answers.items()} == {201: Made, 200: Seen}
    assert told["static"] is None
