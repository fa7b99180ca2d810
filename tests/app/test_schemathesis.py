"""`/openapi.json` is true: whatever schemathesis makes of it, the service answers as it says."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from app import demonstration
from app.demonstration.brief_tokens import brief_denylist
from app.openapi.document import PARTS
from app.routes import demo
from tests.app.api import Api, prepared, settings_for
from tests.support.denylists import can_mint, until
from tests.support.servers import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)

#: One view answers all methods there, and the rule of each is tested with it.
_SAME_AT_VERIFY: Final = ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]

#: Any method will do there, so that none is undeclared.
_ANY_METHOD: Final = "Forward authentication"

#: The same cases on every run.
_CONFIG: Final[dict[str, Any]] = {
    "seed": 1,
    "generation": {"max-examples": 5, "deterministic": True, "database": "none"},
    "phases": {"stateful": {"enabled": False}},
    "checks": {"enabled": False, **{name: {"enabled": True} for name in _CHECKS}},
}


class Asking:
    """The service as a WSGI application that puts credentials into requests in the place of a promise of them.

    They are made for one request alone: the one before may have revoked everyone's. Where schemathesis leaves the
    promise out, or sends something else, that is what the service gets.
    """

    promise: Final = "Bearer promised"

    def __init__(self, api: Api) -> None:
        self._api = api
        self._machine = api.machine(scope="reports:read")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # Failures are counted by address, and a service that says nothing but 429 is not tested.
        environ["REMOTE_ADDR"] = f"2001:db8::{secrets.randbelow(2**16):x}"
        if environ.get("HTTP_AUTHORIZATION") == self.promise:
            environ["HTTP_AUTHORIZATION"] = self._credentials(environ["PATH_INFO"])
        return self._api.app(environ, start_response)

    def _credentials(self, path: str) -> str:
        if path.startswith("/oauth/"):
            return self._machine.basic["Authorization"]
        scope = "revocation:admin reports:read"
        return "Bearer " + self._api.mint("admin", scope=scope, session=secrets.token_urlsafe(16))


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"))) as api:
        api.add_user("ada")
        # What only the embedded store has is described like the rest.
        api.app.register_blueprint(demo.routes)
        demonstration.prepare(api.service.stores, api.settings)
        until(lambda: can_mint(brief_denylist(api.settings)))
        yield api


@pytest.mark.parametrize("who", ["somebody", "nobody"])
@pytest.mark.parametrize("part", list(dict.fromkeys(PARTS.values())))
def test_every_answer_is_documented(api: Api, part: str, who: str) -> None:
    headers = {"Authorization": Asking.promise} if who == "somebody" else {}
    checks = {**_CONFIG["checks"], "unsupported_method": {"enabled": part != _ANY_METHOD}}
    config = SchemathesisConfig.from_dict({**_CONFIG, "checks": checks, "headers": headers})
    described = schemathesis.openapi.from_wsgi("/openapi.json", Asking(api), config=config)
    statuses, problems = Counter[int](), []
    chosen = described.include(tag=part).exclude(path_regex="^/verify", method=_SAME_AT_VERIFY)
    # Each outage takes six seconds, and tests/app/test_demo.py reads one.
    chosen = chosen.exclude(path="/demo/outage")
    for event in from_schema(chosen).execute():
        if isinstance(event, (FatalError, NonFatalError)):
            problems.append(repr(event))
        if isinstance(event, ScenarioFinished):
            asked = event.recorder.interactions.values()
            statuses.update(one.response.status_code for one in asked if one.response is not None)
            problems += [
                f"{check.failure_info.failure}\n{check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
    assert not problems, "\n\n".join(dict.fromkeys(problems))
    assert statuses
