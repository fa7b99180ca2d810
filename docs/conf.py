"""How `make docs` builds the site: from the documents, the docstrings, and the service's description of itself.

The tree is the source, not `docs/` alone, so that links between all documents are checked and work in the site, too.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from sphinx.application import Sphinx

# Django Ninja reads the settings when it is imported.
settings.configure()

_ROOT = Path(__file__).parents[1]

project = "revocation"
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "loadtest/*.md", "loadtest/results/*.md"]
exclude_patterns = [".*", "build"]
extensions = ["myst_parser", "sphinx.ext.autodoc"]

# Blocks without a language are settings and plans, which have no colours.
highlight_language = "text"
# Docstrings put names between single backticks, as Markdown does; a name that the reference has becomes a link.
default_role = "py:obj"
# The examples of answers may leave something out with `...`, which is no JSON.
suppress_warnings = ["misc.highlighting_failure"]
# The repository's host makes anchors of all headings, so the pages link to them.
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Sphinx calls this once for each build."""
    app.connect("source-read", _append_endpoints)
    app.connect("build-finished", _copy_screenshots)


def _append_endpoints(_app: Sphinx, page: str, source: list[str]) -> None:
    """`docs/http.md` has its title and its introduction in the tree, and all else from the code that answers."""
    if page == "docs/http":
        command = [sys.executable, "-m", "app.openapi"]
        printed = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
        source[0] += re.sub(r"\A# .*\n", "", printed)


def _copy_screenshots(app: Sphinx, error: Exception | None) -> None:
    """The README chooses one of two by what the reader's screen prefers, which Markdown has no word for."""
    if error is None:
        for picture in (_ROOT / "docs").glob("*.png"):
            shutil.copy(picture, app.outdir / "docs")
