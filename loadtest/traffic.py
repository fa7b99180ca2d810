"""Traffic: what a request costs the server, against how often a token is used before it is replaced.

The instrument for whole servers: everything between the socket and the route counts, with threads, several workers and
the work in the background. Contestants take turns with the same requests. What differs by less than the rounds of one
contestant lie apart is for the instrument of `in_process`.
"""

from collections.abc import Iterator
from pathlib import Path

from loadtest.load import drive
from loadtest.population import Mix, Population
from loadtest.processes import cpu_seconds
from loadtest.profile import Profile, Tell, within
from loadtest.results import Turn
from loadtest.server import Server, WrongAnswerError, serving, setup_on, store
from tests.support.servers import Server as Store

#: Enough that no worker waits for the generator, and each worker has some.
_CONNECTIONS_PER_WORKER = 4


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Turn]:
    """A turn for each contestant, mix and number of workers, round by round. Raises WrongAnswerError."""
    with store() as valkey:
        setup = setup_on(valkey)
        population = Population(setup)
        for workers, mixes in profile.mixes.items():
            tell(f"traffic, {workers} workers: starting")
            with serving(setup, directory / str(workers), names=profile.contestants, workers=workers) as servers:
                for server in servers.values():
                    server.check(population.token())
                    # Nothing is compiled, connected or read for the first time in a turn that counts.
                    _turn(server, "20", population.requests("20", 50 * workers), valkey, number=-1)
                # Where the time is up in the middle of a round, the mixes that are left have a round less.
                for each in within(profile.seconds, profile.rounds * len(mixes), least=len(mixes)):
                    number, place = divmod(each, len(mixes))
                    mix = mixes[place]
                    tell(f"traffic, {workers} workers, {mix} requests per token, round {number + 1}")
                    requests = population.requests(mix, profile.requests)
                    # Whoever begins in one round does not begin in the next.
                    first = number % len(servers)
                    for server in [*servers.values()][first:] + [*servers.values()][:first]:
                        yield _turn(server, mix, requests, valkey, number=number)


def _turn(server: Server, mix: Mix, tokens: list[str], valkey: Store, *, number: int) -> Turn:
    assert valkey.process is not None, "the store is running"
    redis = valkey.process.pid
    server.admit(dict.fromkeys(tokens))
    headers = [server.header(token) for token in tokens]
    hits, misses = server.cache
    after: list[float] = []
    cpu, redis_cpu = server.cpu_seconds, cpu_seconds(redis)
    load = drive(
        server.port,
        headers,
        connections=_CONNECTIONS_PER_WORKER * server.workers,
        on_end=lambda: after.extend((server.cpu_seconds, cpu_seconds(redis))),
    )
    if load.wrong:
        raise WrongAnswerError(f"{server.name}: {load.wrong} of {load.requests} good tokens were not let in")
    hits_after, misses_after = server.cache
    return Turn(
        contestant=server.name,
        workers=server.workers,
        mix=mix,
        round=number,
        requests=load.requests,
        seconds=load.seconds,
        cpu_seconds=after[0] - cpu,
        redis_cpu_seconds=after[1] - redis_cpu,
        hits=hits_after - hits,
        misses=misses_after - misses,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
    )
