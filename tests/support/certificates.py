"""Certificates: a throwaway authority, and what it signs for one server."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


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
