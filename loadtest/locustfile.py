"""A Locust file: the users of a deployment of yours, with a population of tokens.

    locust -f loadtest/locustfile.py --host https://auth.example

opens Locust's web UI, where the options stand in the form; with `--headless -u 50 -r 10 -t 60s` it runs by itself. Each
simulated user signs in, uses its access token so many times, replaces it by a refresh, and uses the next one. A share
of them log out instead: the token must be refused from then on, and an answer other than 401 is a failure, named
"after logging out". Then they sign in again.
"""

import logging
import random
import time
from itertools import count
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.exception import StopUser

_log = logging.getLogger(__name__)
_turn = count()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust leaves it untyped
def _options(parser: LocustArgumentParser) -> None:
    """Options of the command line, of the environment and of the web UI's form alike."""
    parser.add_argument(
        "--accounts",
        env_var="LOCUST_ACCOUNTS",
        default="",
        help="who signs in at /auth/login: user names with commas between them, taken in turn; the service keeps 100 "
        "sessions of each",
        is_required=True,
    )
    parser.add_argument(
        "--account-password",
        env_var="LOCUST_ACCOUNT_PASSWORD",
        default="",
        is_secret=True,
        help="the password that all of them have",
    )
    parser.add_argument(
        "--path", env_var="LOCUST_PATH", default="/api/me", help="the protected route that they ask for"
    )
    parser.add_argument(
        "--uses", env_var="LOCUST_USES", type=int, default=20, help="requests with a token before it is replaced"
    )
    parser.add_argument(
        "--logouts",
        env_var="LOCUST_LOGOUTS",
        type=float,
        default=0.1,
        help="the share of tokens whose user logs out in place of replacing it, from 0 to 1",
    )


class Owner(FastHttpUser):
    """The owner of one token at a time."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Choose an account; the options are those of the moment in which the test was started."""
        self.options: Any = self.environment.parsed_options
        accounts = [name.strip() for name in self.options.accounts.split(",") if name.strip()]
        if not accounts:
            _log.error("Nobody signs in: name --accounts and --account-password.")
            raise StopUser
        self.account = accounts[next(_turn) % len(accounts)]
        self.tokens: dict[str, str] = {}

    @task
    def use_a_token(self) -> None:
        """From the moment in which a token is there to the one in which it is replaced, or taken back."""
        if not self.tokens and not self._take_tokens(
            "/auth/login", {"username": self.account, "password": self.options.account_password}
        ):
            return
        for number in range(max(1, self.options.uses)):
            if number:
                time.sleep(self.wait_time())  # of gevent, by Locust's patch
            self.client.get(self.options.path, headers=self._headers())
        if random.random() < self.options.logouts:
            self._log_out()
        else:
            self._take_tokens("/auth/refresh", {"refresh_token": self.tokens["refresh_token"]})

    def _log_out(self) -> None:
        headers, path = self._headers(), self.options.path
        self.tokens = {}
        self.client.post("/auth/logout", headers=headers)
        with self.client.get(path, headers=headers, name=f"{path} after logging out", catch_response=True) as answer:
            if answer.status_code == 401:
                answer.success()
            else:
                answer.failure(f"a token that was taken back is answered with {answer.status_code}")

    def _take_tokens(self, path: str, body: dict[str, str]) -> bool:
        """New tokens in place of the ones there were; without any where the service gives none."""
        with self.client.post(path, json=body, catch_response=True) as answer:
            if answer.status_code == 200:
                self.tokens = answer.json()
                return True
            answer.failure(f"{path} gives {answer.status_code} and no tokens")
        self.tokens = {}
        return False

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}
