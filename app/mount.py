"""Mount: the path of the issuer, under which browsers and clients reach the service."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Mount:
    """WSGI middleware for an issuer with a path: its pages, links and cookies are under that path.

    A proxy may pass the path on or take it off: both are answered. `names` are the first segments of the service's own
    routes, by which the two are told apart where the issuer's path begins like one of them.
    """

    def __init__(self, app: "WSGIApplication", *, issuer: str, names: Iterable[str]) -> None:
        self._app = app
        self._path: Final = path_of(issuer)
        self._names = frozenset(names)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        rest = path.removeprefix(self._path)
        if rest != path and (not rest or (rest[0] == "/" and rest.split("/", 2)[1] in self._names)):
            environ["PATH_INFO"] = rest or "/"
        environ["SCRIPT_NAME"] = self._path
        return self._app(environ, start_response)


def path_of(issuer: str) -> str:
    """The path of an issuer, as WSGI has it: decoded, and without a slash at its end; empty where it has none."""
    return unquote(urlsplit(issuer).path, "latin-1").rstrip("/")
