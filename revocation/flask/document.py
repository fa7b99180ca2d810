"""Document: which operations of an OpenAPI document need a token."""

import re
from collections.abc import Iterator
from typing import Any, Final

from flask import Flask

from revocation.flask.requirement import Requirement, requirement

#: The name of the scheme in the document.
SCHEME: Final = "bearer"

_SCHEMES: Final = {SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^:<>]+)>")


def describe(app: Flask, document: dict[str, Any]) -> dict[str, Any]:
    """Say in an OpenAPI document of an app which of its operations need a token; the same document comes back.

    flask-smorest: `api.spec.options = describe(app, api.spec.to_dict())` after the routes are registered. APIFlask:
    `app.spec_processor(lambda document: describe(app, document))`. flask-openapi3: `describe(app, app.api_doc)`.
    """
    paths = document.get("paths") or {}
    for path, method, required in _guarded(app):
        operation = paths.get(path, {}).get(method)
        if operation is None:
            continue
        # Before 3.1, only OAuth 2.0 and OpenID Connect may name scopes.
        names_scopes = str(document.get("openapi", "")) >= "3.1"
        scopes = sorted((required.scope or "").split()) if names_scopes else []
        operation["security"] = [{SCHEME: scopes}, *([{}] if required.is_optional else [])]
        components = document.setdefault("components", {})
        # flask-openapi3 writes a null where there are none.
        components["securitySchemes"] = {**_SCHEMES, **(components.get("securitySchemes") or {})}
    return document


def _guarded(app: Flask) -> Iterator[tuple[str, str, Requirement]]:
    """Path as OpenAPI writes it, method and requirement of every operation that needs a token."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        of_class = getattr(view, "view_class", None)
        names = rule.endpoint.split(".")[:-1]
        blueprints = [app.blueprints.get(".".join(names[: end + 1])) for end in range(len(names))]
        around = next((found for one in blueprints if one is not None and (found := requirement(one))), None)
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            of_method = getattr(of_class, method.lower(), None)
            required = requirement(view) or (of_method and requirement(of_method)) or around
            if required is not None:
                yield _PARAMETER.sub(r"{\1}", rule.rule), method.lower(), required
