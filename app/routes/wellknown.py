"""What clients and other verifiers discover: metadata (RFC 8414) and keys (RFC 7517)."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify

from app.keyring import JWKS_MAX_AGE_SECONDS
from app.problems import Problem
from app.service import service

routes = Blueprint("wellknown", __name__, url_prefix="/.well-known")

_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]


@routes.get("/oauth-authorization-server")
@routes.get("/oauth-authorization-server/<path:tenant>")
def metadata(tenant: str = "") -> Response:
    """Where everything is. An issuer with a path has it behind the well-known part (section 3.1)."""
    issuer = service().settings.issuer
    if f"/{tenant}".rstrip("/") != urlsplit(issuer).path.rstrip("/"):
        raise Problem(404, "No issuer of this path lives here.", reason="unknown_issuer")
    base = issuer.rstrip("/")
    return _public(
        {
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
    )


@routes.get("/jwks.json")
def jwks() -> Response:
    """The public keys, the next one included before it signs."""
    response = _public(service().keys.key_set().public_jwks())
    response.mimetype = "application/jwk-set+json"
    return response


def _public(document: dict[str, object]) -> Response:
    response = jsonify(document)
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
