"""Outages: what each contestant answers to good tokens while Redis is far, hangs or is dead, and when it is well again.

All of them stand side by side behind one proxy to one Valkey, and one client asks each at a moderate pace.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadtest.connection import Answer, Connection, request
from loadtest.contestants import PATH
from loadtest.load import percentile
from loadtest.population import Population
from loadtest.profile import Profile, Tell
from loadtest.propagation import dead
from loadtest.results import Fault, Outage
from loadtest.server import Server, serving, setup_on, store
from revocation.defaults import TIMEOUT_SECONDS
from tests.support.proxy import Fault as Wrong
from tests.support.proxy import Proxy, late

_PACE_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 2.0

#: How long all of them may take until they let in again.
_WELL_SECONDS: Final = 12.0


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Outage]:
    """Each contestant under each fault. Raises WrongAnswerError."""
    with store() as valkey, contextlib.closing(Proxy(valkey.socket)) as proxy:
        faults: dict[Fault, Callable[[], AbstractContextManager[None]]] = {
            "none": contextlib.nullcontext,
            "5 ms away": lambda: proxy.faulty(Wrong(reply=late(0.005))),
            "hung": valkey.paused,
            "dead": lambda: dead(valkey),
        }
        setup = setup_on(valkey, redis_url=f"redis://127.0.0.1:{proxy.port}")
        tell("outages: starting")
        population = Population(setup)
        # The other measurements lengthen it: they are not about timeouts.
        setup = replace(setup, timeout_seconds=TIMEOUT_SECONDS)
        with serving(setup, directory, names=profile.contestants) as servers:
            for fault, happens in faults.items():
                tell(f"outages: Redis, {fault}")
                token = population.token()
                for server in servers.values():
                    server.admit([token])
                yield from _under(fault, happens, [*servers.values()], token, seconds=profile.fault_seconds)


def _under(
    fault: Fault,
    happens: Callable[[], AbstractContextManager[None]],
    servers: list[Server],
    token: str,
    *,
    seconds: float,
) -> Iterator[Outage]:
    over: list[float] = []
    with ThreadPoolExecutor(len(servers)) as pool:
        with happens():
            began = time.monotonic()
            asking = [pool.submit(_asked, server, token, over) for server in servers]
            time.sleep(seconds)
        over.append(time.monotonic())
        answers = [each.result(_WELL_SECONDS + 30) for each in asking]
    for server, every in zip(servers, answers, strict=True):
        during = [answer for answer in every if answer.sent < over[0]]
        # Whoever was answered when all was well again was not answered under the fault.
        told = [str(answer.status) if answer.status and answer.received < over[0] else "none" for answer in during]
        times = [1000 * (answer.received - answer.sent) for answer in during]
        yield Outage(
            contestant=server.name,
            fault=fault,
            answers=dict(Counter(told)),
            p50_ms=percentile(times, 50),
            p99_ms=percentile(times, 99),
            let_in_seconds=max([began, *(a.sent for a, status in zip(during, told, strict=True) if status == "200")])
            - began,
            well_again_seconds=next((a.sent - over[0] for a in every if a.status == 200 and a.sent >= over[0]), None),
        )


def _asked(server: Server, token: str, over: list[float]) -> list[Answer]:
    """Ask again and again, until the token is let in after the fault."""
    connection = Connection(server.port, patience_seconds=_PATIENCE_SECONDS)
    message, answers = request("GET", PATH, server.header(token)), list[Answer]()
    while not over or time.monotonic() < over[0] + _WELL_SECONDS:
        sent = time.monotonic()
        try:
            answers.append(connection.ask(message))
        except OSError:
            answers.append(Answer(0, b"", sent, time.monotonic()))
        if over and answers[-1].status == 200 and sent >= over[0]:
            break
        time.sleep(_PACE_SECONDS)
    connection.close()
    return answers
