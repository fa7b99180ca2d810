"""In process: what each protection adds to a route, without a socket, in CPU time of the thread that does it.

The instrument for small differences: the contestants take turns every few milliseconds in one thread, and the same
route without protection is subtracted within each round. It does not see what servers, other threads and Redis itself
spend; `traffic` does.
"""

import operator
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from flask import Flask
from joserfc.errors import SecurityWarning
from werkzeug.test import EnvironBuilder

from loadtest.contestants import NAMES, PATH, SIGN_IN, Joserfc, Name, Textbook, app
from loadtest.population import Population
from loadtest.profile import Profile, Tell, within
from loadtest.results import Added, InProcess, Spread, Verified
from loadtest.server import ALGORITHMS, WrongAnswerError, admit, header_of, setup_on, store

#: The other server's time is what introspection costs, and no thread here spends it.
_WITHOUT: Final = frozenset[Name]({"introspection"})

#: As many keys as a strict check asks for.
_KEYS: Final = 8


def added(profile: Profile, _directory: Path, tell: Tell) -> Iterator[InProcess]:
    """What each contestant adds, and one `mget` of redis-py beside it. Raises WrongAnswerError."""
    tell("in process: starting")
    names = [name for name in NAMES if name not in _WITHOUT]
    first: dict[Name, list[float]] = {name: [] for name in names}
    again: dict[Name, list[float]] = {name: [] for name in names}
    mget: list[float] = []
    with store() as valkey:
        setup = setup_on(valkey)
        population, client = Population(setup), setup.documented_redis()
        apps = {name: app(name, setup) for name in names}
        signed_in = apps["session"].test_client().post(SIGN_IN).text
        keys = [f"{{denylist}}:token:some:{number}" for number in range(_KEYS)]
        for number in within(profile.seconds, profile.turns_in_process + 1, least=3):
            tell(f"in process: round {number} of {profile.turns_in_process}")
            tokens = [population.token() for _ in range(profile.tokens_in_process)]
            admit(setup, signed_in, tokens)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                environs = [_environ(header_of(name, token)) for token in tokens]
                first[name].append(_microseconds(_asking(apps[name]), environs))
                again[name].append(_microseconds(_asking(apps[name]), environs))
            mget.append(_microseconds(client.mget, [keys] * len(tokens)))
        client.close()
    # In the first round everything is connected, compiled and read for the first time.
    yield InProcess(
        rounds=len(mget) - 1,
        added=tuple(
            Added(
                contestant=name,
                first=_spread(map(operator.sub, first[name][1:], first["none"][1:])),
                again=_spread(map(operator.sub, again[name][1:], again["none"][1:])),
            )
            for name in names
            if name != "none"
        ),
        mget=_spread(mget[1:]),
    )


def verified(profile: Profile, _directory: Path, tell: Tell) -> Iterator[Verified]:
    """What a token costs that nobody has seen, without a route around it."""
    with store() as valkey:
        for algorithm in ALGORITHMS:
            tell(f"in process: tokens seen for the first time, {algorithm}")
            setup = setup_on(valkey, algorithm=algorithm)
            population, nothing = Population(setup), Flask("loadtest")
            ways: dict[str, Callable[[str], Any]] = {
                "ours": setup.verifier.verify,
                "pyjwt": Textbook(nothing, setup).claims,
                "joserfc": Joserfc(nothing, setup).claims,
            }
            times: dict[str, list[float]] = {way: [] for way in ways}
            with warnings.catch_warnings():
                # joserfc says that RFC 9864 has another name for EdDSA.
                warnings.simplefilter("ignore", SecurityWarning)
                for _ in within(profile.seconds / 4, profile.turns_in_process + 1, least=3):
                    tokens = [population.token() for _ in range(profile.tokens_in_process)]
                    for way, verify in ways.items():
                        times[way].append(_microseconds(verify, tokens))
            yield Verified(algorithm=algorithm, **{way: _spread(each[1:]) for way, each in times.items()})


def _environ(header: str) -> dict[str, Any]:
    name, _, value = header.partition(": ")
    return EnvironBuilder(PATH, headers=[(name, value)]).get_environ()


def _asking(asked: Flask) -> Callable[[dict[str, Any]], None]:
    """A call of the app as a server makes it."""

    def started(status: str, _headers: list[tuple[str, str]], _error: Any = None) -> Any:
        if not status.startswith("200"):
            raise WrongAnswerError(f"a good token is answered with {status}")

    def ask(environ: dict[str, Any]) -> None:
        body: Any = asked.wsgi_app(environ, started)
        for _ in body:
            pass
        body.close()

    return ask


def _microseconds(call: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    """CPU time of this thread for one call, over all of these."""
    before = time.thread_time_ns()
    for argument in arguments:
        call(argument)
    return (time.thread_time_ns() - before) / 1000 / len(arguments)


def _spread(values: Iterable[float]) -> Spread:
    lower, median, upper = statistics.quantiles(values, n=4)
    return Spread(median=median, lower=lower, upper=upper)
