"""The generator: Locust in a process of its own, told what to ask by whoever started it.

    python -m loadtest.generator FD

reads commands from a socket, one JSON object per line, and answers each with one: `start` with targets, `take` what was
answered since, `stop`. It ends when the other end is closed. `loadtest.load` speaks to it.
"""

import json
import random
import socket
import sys
import time
from typing import Any, Final

import gevent
from locust import constant, constant_pacing  # first: it makes the standard library cooperative
from locust.env import Environment
from locust.runners import LocalRunner

from loadtest.locustfile import Target

#: Users spawned per second: all of them at once.
_SPAWN_RATE: Final = 1_000


class Generator:
    """One run of Locust at a time, and what its users were answered."""

    def __init__(self) -> None:
        self._runner: LocalRunner | None = None
        self._rows: dict[str, list[tuple[float, float, int]]] = {}

    def start(self, targets: list[dict[str, Any]]) -> None:
        """Let users ask these targets, and return when all of them do."""
        self._rows = {target["name"]: [] for target in targets}
        environment = Environment(user_classes=[_user_class(number, target) for number, target in enumerate(targets)])
        environment.events.request.add_listener(self._note)  # type: ignore[no-untyped-call]  # Locust leaves it untyped
        self._runner = environment.create_local_runner()
        self._runner.start(sum(target["users"] for target in targets), spawn_rate=_SPAWN_RATE)
        if self._runner.spawning_greenlet is not None:
            self._runner.spawning_greenlet.join(60)

    def take(self) -> dict[str, list[tuple[float, float, int]]]:
        """The answers since the last time."""
        taken = self._rows
        self._rows = {name: [] for name in taken}
        return taken

    def stop(self) -> dict[str, list[tuple[float, float, int]]]:
        """End all users; what they still wait for is not counted."""
        if self._runner is not None:
            self._runner.quit()
            self._runner = None
        return self.take()

    def _note(self, *, name: str, response_time: float, response: Any, **_: Any) -> None:
        status = getattr(response, "status_code", 0) or 0
        self._rows[name].append((time.monotonic() - response_time / 1000, response_time, status))


def _user_class(number: int, target: dict[str, Any]) -> type[Target]:
    """Locust takes classes, one for each target."""
    pace = target["pace_seconds"]

    class User(Target):
        fixed_count = target["users"]
        host = target["url"]
        path = target["path"]
        header = tuple(target["header"])
        wait_time = constant_pacing(pace) if pace else constant(0)
        connection_timeout = network_timeout = target["patience_seconds"]

        def context(self) -> dict[str, Any]:
            return {}

        def on_start(self) -> None:
            super().on_start()
            self.client.request_name = target["name"]
            # Not all at once: a crowd waits for itself.
            gevent.sleep(random.uniform(0, pace))

    User.__name__ = f"User{number}"
    return User


def main() -> None:
    """Answer commands until the socket is closed."""
    generator = Generator()
    with socket.socket(fileno=int(sys.argv[1])) as commands, commands.makefile("rw") as lines:
        for line in lines:
            command = json.loads(line)
            answer = getattr(generator, command.pop("do"))(**command)
            lines.write(json.dumps(answer) + "\n")
            lines.flush()
    generator.stop()


if __name__ == "__main__":
    main()
