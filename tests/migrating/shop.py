"""A shop, as people write it with flask-jwt-extended: tokens in headers and cookies, refresh tokens, no way back."""

from datetime import timedelta
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
    set_refresh_cookies,
    unset_jwt_cookies,
)

jwt = JWTManager()


def create_app(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(
        JWT_SECRET_KEY="thirty-two random bytes, or more of them",
        JWT_TOKEN_LOCATION=["headers", "cookies"],
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=30),
    )
    app.config.update(config)
    jwt.init_app(app)

    @app.post("/login")
    def login() -> tuple[Response, int] | Response:
        given = request.get_json()
        if given.get("password") != "correct horse":
            return jsonify(msg="Bad username or password"), 401
        access, refresh = create_access_token(given["name"]), create_refresh_token(given["name"])
        response = jsonify(access_token=access, refresh_token=refresh)
        set_access_cookies(response, access)
        set_refresh_cookies(response, refresh)
        return response

    @app.post("/refresh")
    @jwt_required(refresh=True)  # type: ignore[untyped-decorator]  # the extension has no types
    def refresh() -> Response:
        access = create_access_token(get_jwt_identity())
        response = jsonify(access_token=access)
        set_access_cookies(response, access)
        return response

    @app.get("/me")
    @jwt_required()  # type: ignore[untyped-decorator]  # the extension has no types
    def me() -> Response:
        return jsonify(name=get_jwt_identity())

    @app.post("/logout")
    @jwt_required(verify_type=False)  # type: ignore[untyped-decorator]  # the extension has no types
    def logout() -> Response:
        response = jsonify(msg="Logged out")
        unset_jwt_cookies(response)
        return response

    return app
