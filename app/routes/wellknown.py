"""Discovery for clients and other verifiers: metadata (RFC 8414) and keys (RFC 7517)."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.keyring import JWKS_MAX_AGE_SECONDS
from app.openapi import Answer, operation
from app.problems import Problem
from app.routes.context import service
from app.routes.formats import Issuer

routes = Blueprint("wellknown", __name__, url_prefix="/.well-known")

_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]


class Metadata(TypedDict):
    """Authorization server metadata (RFC 8414, section 2)."""

    issuer: Issuer
    token_endpoint: Annotated[str, Field(examples=["https://auth.example/oauth/token"])]
    token_endpoint_auth_methods_supported: list[str]
    grant_types_supported: list[str]
    response_types_supported: list[str]
    revocation_endpoint: Annotated[str, Field(examples=["https://auth.example/oauth/revoke"])]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint: Annotated[str, Field(examples=["https://auth.example/oauth/introspect"])]
    introspection_endpoint_auth_methods_supported: list[str]
    jwks_uri: Annotated[str, Field(examples=["https://auth.example/.well-known/jwks.json"])]


Tenant = Annotated[str, Field(description="The path of the issuer, where it has one.", examples=["login"])]


class Jwks(TypedDict):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


@routes.get("/oauth-authorization-server")
@routes.get("/oauth-authorization-server/<path:tenant>")
@operation(Metadata, refuses={404: "`unknown_issuer`: no issuer of this path lives here."}, ignores_query=True)
def metadata(tenant: Tenant = "") -> Response:
    """Where everything is. An issuer with a path has it behind the well-known part (section 3.1)."""
    issuer = service().settings.issuer
    if f"/{tenant}".rstrip("/") != urlsplit(issuer).path.rstrip("/"):
        raise Problem(404, "No issuer of this path lives here.", reason="unknown_issuer")
    base = issuer.rstrip("/")
    answer: Metadata = {
        "issuer": issuer,
        "token_endpoint": f"{base}/oauth/token",
        "token_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
        "grant_types_supported": ["client_credentials", "refresh_token"],
        # Required and not empty, though nothing here has an authorization endpoint.
        "response_types_supported": ["none"],
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
        "introspection_endpoint": f"{base}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": _CLIENT_METHODS,
        "jwks_uri": f"{base}/.well-known/jwks.json",
    }
    return _public(answer)


@routes.get("/jwks.json")
@operation(Answer(Jwks, media_type="application/jwk-set+json"), ignores_query=True)
def jwks() -> Response:
    """The public keys, the next one included before it signs."""
    return _public(service().keys.key_set().public_jwks(), media_type="application/jwk-set+json")


def _public(document: Mapping[str, object], *, media_type: str = "application/json") -> Response:
    """A document for everyone, which is sent again only where it has changed."""
    response = jsonify(document)
    response.mimetype = media_type
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.add_etag()
    response.make_conditional(request)
    return response
