"""What the tests of RedisDenylist ask for: one that is open, on each of the real servers."""

import pytest
import redis

from revocation import RedisDenylist
from tests.support.denylists import opened
from tests.support.servers import Server


@pytest.fixture
def client(any_server: Server) -> "redis.Redis":
    return any_server.client()


@pytest.fixture
def denylist(client: "redis.Redis", namespace: str) -> RedisDenylist:
    return opened(client, namespace)
