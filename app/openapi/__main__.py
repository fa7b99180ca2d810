"""`python -m app.openapi`: the HTTP reference in Markdown, from the same description as `/openapi.json` and `/docs`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from app import create_app
from app.openapi.document import document
from app.openapi.reference import reference
from app.settings import Settings
from app.stores import Stores

ISSUER = "https://auth.example"


def described() -> dict[str, Any]:
    """The description of the service as it runs on a Redis of its own. Asks no server."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.from_mapping(
            {
                "REVOCATION_REDIS_URL": "redis://localhost:6379/0",
                "APP_ISSUER": ISSUER,
                "APP_DATA_DIR": directory,
                "APP_ADMIN_PASSWORD": "nobody signs in here",
            }
        )
        Stores.of(settings).keyring.ensure()
        return document(create_app(settings), issuer=ISSUER)


def markdown() -> str:
    """The HTTP reference, which `make docs` puts into the site."""
    templates = Environment(  # noqa: S701  # of Markdown
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("http.md").render(reference=reference(described()))


if __name__ == "__main__":
    sys.stdout.write(markdown())
