"""TLS: whether the connection to another machine is encrypted."""

from collections.abc import Iterator

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer


def tls(server: ExaminedServer) -> Iterator[Finding]:
    """Whether this process encrypts what it sends to another machine."""
    if not server.hosts:
        yield fine("tls", "The URL names a Unix socket: nothing leaves this machine.")
    elif not server.remote_hosts:
        yield fine("tls", "The URL names a loopback address: nothing leaves this machine.")
    elif server.is_encrypted:
        yield fine("tls", "TLS encrypts the connection, and the client checks the certificate and the host name.")
    else:
        yield Finding(
            "tls",
            "warning",
            f"TLS does not protect the connection to {', '.join(server.remote_hosts)}.",
            "Whoever controls the network in between reads the password, and can answer in the server's place that "
            "nothing is revoked.",
            "use rediss:// (or rediss+sentinel://, rediss+cluster://) in REVOCATION_REDIS_URL, with "
            "?ssl_ca_certs=FILE for an authority of your own",
        )
