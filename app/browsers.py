"""Browsers: what every answer tells them."""

from flask import Flask, Response


def init_app(app: Flask) -> None:
    """Let no browser take an answer for anything else than what its Content-Type says."""
    app.after_request(_without_guessing)


def _without_guessing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
