"""Pages for people: HTML from app/templates, their files from app/static, and the headers that all of them carry."""

from flask import Blueprint, Response, current_app, make_response, render_template, send_from_directory

from app.routes.context import service

routes = Blueprint("pages", __name__)

#: Scripts and styles are files of this service; nothing is loaded from, framed by, or sent to anywhere else. No form
#: posts by itself: where a script has not run, a password must not end up in an address. With trusted types no text
#: becomes HTML, whoever wrote the text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}

_NAVIGATION = {"/": "Playground", "/console": "Console", "/docs": "API"}


def page(template: str, **values: object) -> Response:
    """A page from a template that extends `page.html`."""
    return secured(make_response(rendered(template, **values)))


def rendered(template: str, **values: object) -> str:
    """The text of such a page."""
    served = {rule.rule for rule in current_app.url_map.iter_rules()}
    if not service().settings.is_embedded:
        served.discard("/")  # which only leads on
    navigation = [(path, name) for path, name in _NAVIGATION.items() if path in served]
    return render_template(template, navigation=navigation, **values)


def secured(response: Response) -> Response:
    """The response with the headers of a page. It is asked for again each time, and sent only where it has changed."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-cache")
    return response


@routes.get("/static/<path:name>")
def static(name: str) -> Response:
    """A file of the pages: style, script, picture."""
    return secured(send_from_directory("static", name))
