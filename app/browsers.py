"""Browsers: what every answer tells them, and which pages of other origins may read answers."""

from collections.abc import Collection
from typing import Final

from flask import Flask, Response
from flask_cors import CORS

#: What apps in a browser call. The console has a cookie, and no other origin may read its answers.
_PATHS: Final = r"/(?:auth|oauth|api)(?:/.*)?$"


def init_app(app: Flask, *, origins: Collection[str]) -> None:
    """Let no browser take an answer for another type, and let pages of these origins call the API (CORS).

    They send a token in a header and never a cookie, so no credentials are allowed (Fetch, section 3.3).
    """
    app.after_request(_without_guessing)
    if origins:
        CORS(
            app,
            resources={_PATHS: {"origins": list(origins)}},
            methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["WWW-Authenticate", "Retry-After", "Server-Timing"],
            max_age=600,
            supports_credentials=False,
        )


def _without_guessing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
