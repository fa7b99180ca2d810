"""Two resources of a web API, as a consumer would protect theirs."""

from flask import Blueprint, Response, jsonify

from app.bearer import bearer

routes = Blueprint("resources", __name__, url_prefix="/api")


@routes.get("/me")
@bearer.required()
def me() -> Response:
    """Who the token speaks for."""
    claims = bearer.claims
    return jsonify(
        {
            "sub": claims.subject,
            "client_id": claims.client_id,
            "session_id": claims.session_id,
            "scope": " ".join(sorted(claims.scope)),
        }
    )


@routes.get("/reports")
@bearer.required(scope="reports:read")
def reports() -> Response:
    """Something that not every token may see."""
    return jsonify({"reports": [{"id": 1, "title": "Quarterly figures"}, {"id": 2, "title": "Audit of access"}]})
