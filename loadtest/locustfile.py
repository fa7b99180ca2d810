"""A Locust file: users of a protected API, against the load tests' own servers or any deployment.

    locust -f loadtest/locustfile.py --host https://auth.example

opens Locust's web UI; with `--headless -u 50 -r 10 -t 60s` it runs by itself. Who calls comes from the environment:

    LOCUST_TOKEN       an access token; or
    LOCUST_USERNAME    and
    LOCUST_PASSWORD    to sign in with at /auth/login, each simulated user on its own
    LOCUST_PATH        the route to ask (default /api/me)

`Caller` asks for one route over and over. `Leaver` signs in, asks, logs out, and asks again with the same token: an
answer other than 401 then is a failure, named "after logging out". It needs a user name. Name one to run it alone.
"""

import os
from typing import Any

from locust import FastHttpUser, between, constant, task

_TOKEN = os.environ.get("LOCUST_TOKEN", "")
_USERNAME = os.environ.get("LOCUST_USERNAME", "")
_PASSWORD = os.environ.get("LOCUST_PASSWORD", "")
_PATH = os.environ.get("LOCUST_PATH", "/api/me")


class Target(FastHttpUser):
    """Asks for one route with one header as soon as it was answered; subclasses say which."""

    abstract = True
    wait_time = constant(0)
    path = _PATH
    header: tuple[str, str] = ("Authorization", f"Bearer {_TOKEN}")

    def on_start(self) -> None:
        """Nothing goes over the network but the requests that are counted."""
        self.headers = dict([self.header])

    @task
    def ask(self) -> None:
        """One request."""
        self.client.get(self.path, headers=self.headers)


class _Visitor(FastHttpUser):
    """Somebody with a token."""

    abstract = True

    def signed_in(self) -> dict[str, str]:
        """The header with an access token: the one that was given, or a new session's."""
        if not _USERNAME:
            return {"Authorization": f"Bearer {_TOKEN}"}
        with self.client.post(
            "/auth/login", json={"username": _USERNAME, "password": _PASSWORD}, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(
                    f"signing in was answered with {answer.status_code}: check LOCUST_USERNAME and _PASSWORD"
                )
                return {}
            tokens: dict[str, Any] = answer.json()
            return {"Authorization": f"Bearer {tokens['access_token']}"}


class Caller(_Visitor):
    """Asks for one route over and over."""

    weight = 20
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Sign in once."""
        self.headers = self.signed_in()

    @task
    def ask(self) -> None:
        """One request."""
        self.client.get(_PATH, headers=self.headers)


class Leaver(_Visitor):
    """Signs in, asks, logs out, and must be refused from then on."""

    abstract = not _USERNAME
    wait_time = between(1, 3)

    @task
    def leave(self) -> None:
        """A short visit."""
        headers = self.signed_in()
        if not headers:
            return
        self.client.get(_PATH, headers=headers)
        self.client.post("/auth/logout", headers=headers)
        with self.client.get(_PATH, headers=headers, name=f"{_PATH} after logging out", catch_response=True) as answer:
            if answer.status_code == 401:
                answer.success()
            else:
                answer.failure(f"a token that was taken back is answered with {answer.status_code}")
