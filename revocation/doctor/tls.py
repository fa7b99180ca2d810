"""TLS: whether the connection to another machine is encrypted, and who may be at its other end."""

from collections.abc import Iterator

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer


def tls(server: ExaminedServer) -> Iterator[Finding]:
    """Whether this process encrypts what it sends to another machine, and what it checks of the certificate there."""
    if not server.hosts:
        yield fine("tls", "The URL names a Unix socket: nothing leaves this machine.")
    elif not server.remote_hosts:
        yield fine("tls", "The URL names a loopback address: nothing leaves this machine.")
    elif server.is_encrypted:
        yield _checked(server)
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


def _checked(server: ExaminedServer) -> Finding:
    options = server.options
    if options.get("ssl_check_hostname", True):
        return fine("tls", "TLS encrypts the connection, and the client checks the certificate and the host name.")
    own = options.get("ssl_ca_certs") or options.get("ssl_ca_path")
    if own:
        return fine(
            "tls",
            f"TLS encrypts the connection, and the client checks that an authority in {own} has signed the "
            "certificate; it does not check the host name, because REVOCATION_REDIS_URL says ssl_check_hostname=no.",
        )
    return Finding(
        "tls",
        "warning",
        "TLS encrypts the connection, and the client does not check the host name, because REVOCATION_REDIS_URL says "
        "ssl_check_hostname=no: it takes any certificate of an authority that this system knows.",
        "Whoever controls the network in between, and has a certificate for any host, can answer in the server's place "
        "that nothing is revoked.",
        "take ssl_check_hostname=no out of REVOCATION_REDIS_URL, or name an authority of your own with "
        "?ssl_ca_certs=FILE",
    )
