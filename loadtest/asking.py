"""Asking: how often the service asks Redis for one act of it, counted where redis-py sends."""

import secrets
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from app import create_app
from app.settings import Settings
from app.startup import prepare
from app.stores import Stores
from loadtest.profile import Profile, Tell
from loadtest.results import Asked
from loadtest.server import WrongAnswerError, store
from revocation import Denylist, Handle
from tests.support.round_trips import RoundTrips

#: Times that each act is done, in turns.
_TIMES: Final = 11

#: How long a receipt waits for its followers, which takes it milliseconds.
_PATIENCE_SECONDS: Final = 2.0

_PASSWORD: Final = "correct horse battery"


def measure(_profile: Profile, directory: Path, tell: Tell) -> Iterator[Asked]:
    """Refreshing, revoking with a receipt (the library), and an administrator's search with its strict check."""
    tell("round trips to Redis")
    with store() as valkey:
        settings = Settings.from_mapping(
            {"REVOCATION_REDIS_URL": valkey.url, "APP_DATA_DIR": str(directory), "APP_ADMIN_PASSWORD": _PASSWORD}
        )
        stores = Stores.of(settings)
        stores.denylist.open(accept_existing=True)
        prepare(stores, settings)
        app = create_app(settings)
        service: Any = app.extensions["service"]
        service.guard.start()
        try:
            yield from _counted(app.test_client(use_cookies=False), service.stores.denylist, issuer=settings.issuer)
        finally:
            service.guard.stop()


def _counted(client: Any, denylist: Denylist, *, issuer: str) -> Iterator[Asked]:
    def ask(method: str, path: str, **body: object) -> Any:
        token = signed_in.get("access_token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = client.open(path, method=method, json=body or None, headers=headers)
        if answer.status_code not in (200, 201):
            raise WrongAnswerError(f"{method} {path}: {answer.status_code} {answer.get_data(as_text=True)}")
        return answer.get_json()

    signed_in: dict[str, Any] = {}
    signed_in = ask("POST", "/auth/login", username="admin", password=_PASSWORD)

    def refresh() -> None:
        signed_in.update(ask("POST", "/auth/refresh", refresh_token=signed_in["refresh_token"]))

    def revoke() -> None:
        denylist.revoke(Handle("token", secrets.token_hex(8), issuer=issuer), wait_seconds=_PATIENCE_SECONDS)

    def search() -> None:
        ask("POST", "/admin/search", query="admin")

    acts: dict[str, Callable[[], None]] = {"refresh": refresh, "revoke with receipt": revoke, "admin search": search}
    counts: dict[str, list[int]] = {act: [] for act in acts}
    with RoundTrips.counted() as round_trips:
        for _ in range(_TIMES):
            for act, done in acts.items():
                counts[act].append(round_trips.of(done))
    for act, found in counts.items():
        yield Asked(act=act, median=statistics.median_low(found), most=max(found))
