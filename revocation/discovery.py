"""Discovery: where the metadata of an issuer says that its keys are."""

import json
from typing import Any

from revocation.errors import ConfigurationError
from revocation.https import Https, StatusError

_SHOWN_CHARACTERS = 200


def jwks_url(issuer: str, https: Https) -> str:
    """The `jwks_uri` of the issuer (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3).

    The metadata is read behind the issuer's own path, or, where nothing is there, as RFC 8414 has it: before that path.
    Raises ConfigurationError where it is the metadata of another issuer, or names no URL, and what `Https.get` raises.
    """
    parts = https.checked(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    try:
        body, _ = https.get(f"{host}{path}/.well-known/openid-configuration")
    except StatusError:
        body, _ = https.get(f"{host}/.well-known/oauth-authorization-server{path}")
    metadata = parsed(body)
    named = metadata.get("issuer") if isinstance(metadata, dict) else None
    if named != issuer:
        raise ConfigurationError(
            f"the metadata of {issuer} is that of the issuer {ascii(named)[:_SHOWN_CHARACTERS]}; where that is meant, "
            "give the URL of the keys in place of the issuer"
        )
    url = metadata.get("jwks_uri")
    if not isinstance(url, str):
        raise ConfigurationError(f"the metadata of {issuer} names no jwks_uri")
    return url


def parsed(body: bytes) -> Any:
    """The JSON of an answer. Raises ConfigurationError where it is none."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the answer is not JSON: {error}") from error
