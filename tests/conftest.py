"""What every test may ask for: real servers (one of each kind per test process), and a namespace of its own."""

import contextlib
import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.certificates import Certificates
from tests.support.processes import hand_down_default_signals
from tests.support.round_trips import RoundTrips
from tests.support.servers import Make, Server, StartServer, running

hand_down_default_signals()

#: The files that take longest, and directories of such: they begin first, so that none of them is left in the end.
_FIRST = ("test_docs.py", "faults", "pages", "stories", "loadtest", "search", "model", "adapters", "test_rights.py")

# A slow machine is not a bug, and a failing example is printed, not kept in a file.
settings.register_profile(
    "tests", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """Valkey from the wheel, shared by the tests of one process: nobody flushes, stops or configures it."""
    with running("valkey") as server:
        yield server


@pytest.fixture(scope="session")
def debian_redis() -> Iterator[Server]:
    """Debian's redis-server, shared likewise."""
    with running("redis") as server:
        yield server


@pytest.fixture(params=["valkey", "redis"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Each of the two in turn."""
    server: Server = request.getfixturevalue({"valkey": "valkey", "redis": "debian_redis"}[request.param])
    return server


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts servers that the test may flush, stop, pause and configure."""
    with contextlib.ExitStack() as stack:

        def start(make: Make = "valkey", *options: str, tls: Certificates | None = None) -> Server:
            return stack.enter_context(running(make, *options, tls=tls))

        yield start


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{secrets.token_hex(8)}"


@pytest.fixture
def round_trips() -> Iterator[RoundTrips]:
    """Counts how often the test's own thread asks Redis."""
    with RoundTrips.counted() as round_trips:
        yield round_trips


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Twice as many processes as there are cores: many tests wait for servers, and leave the processor idle."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the order is the same in every process."""
    rank = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: min(rank.get(name, len(rank)) for name in (item.path.name, item.path.parent.name)))
