"""Secured: what servers are started with, and asked with, where everything is TLS and nobody comes in unnamed."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.revocation.test_access import MINIMAL_ACL
from tests.support.certificates import Certificates, certificates

#: The user that docs/operating.md gives the library, and what it needs beyond that in a cluster with replicas.
USER = "revocation"
RIGHTS = ("~{denylist}:*", *MINIMAL_ACL, "+wait", "+cluster|slots")


@dataclass(frozen=True)
class Secured:
    """One authority, the password of the user `default` everywhere, and that of the deny-list's own user."""

    certificates: Certificates
    default_password: str = "p@ss/of?the#default user"
    own_password: str = "another:one"

    @classmethod
    def made_in(cls, directory: Path) -> "Secured":
        return cls(certificates(directory, host="127.0.0.1"))

    @property
    def query(self) -> str:
        """What a URL says of it after the question mark."""
        return f"ssl_ca_certs={self.certificates.authority}"

    @property
    def options(self) -> tuple[str, ...]:
        """Arguments of every data node; its port is given as --tls-port."""
        return (
            *("--port", "0", *self.certificates.server_options, "--tls-replication", "yes"),
            *("--requirepass", self.default_password, "--masterauth", self.default_password),
        )

    def client(self, port: int, *, password: str = "") -> "redis.Redis":
        """A client of the test itself, as the user `default`; Sentinels give that another password."""
        return redis.Redis(
            port=port,
            password=password or self.default_password,
            ssl=True,
            ssl_ca_certs=str(self.certificates.authority),
            ssl_check_hostname=False,
            socket_timeout=5,
            protocol=2,
        )

    def admit(self, node: Any) -> None:
        """Make the deny-list's own user on a node: users are not replicated."""
        node.execute_command("ACL", "SETUSER", USER, "on", f">{self.own_password}", *RIGHTS)


def await_replicas(primary: Any, count: int, *, patience_seconds: float = 30.0) -> None:
    """Return when so many replicas confirm what is written now: being online is less than that."""
    deadline = time.monotonic() + patience_seconds
    while True:
        primary.set("{denylist}:settled", 1, px=1000)
        if primary.wait(count, 500) >= count:
            return
        assert time.monotonic() < deadline, "the replicas do not confirm"
