"""Tokens on their way in, and the options that say whose tokens are good."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from revocation.cli.target import Target
from revocation.errors import ConfigurationError
from revocation.keys import KeySet
from revocation.verifier import TokenVerifier

P = ParamSpec("P")
T = TypeVar("T")

#: More is no token, and is not read into memory.
_MOST_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are good: keys, issuer, audience, and how their claims are read."""

    keys_dir: Path | None
    jwks: Path | None
    issuer: str | None
    audience: tuple[str, ...]
    token_types: tuple[str, ...]
    require_jti: bool
    iat_tolerance_seconds: int | None

    def verifier(self, target: Target) -> TokenVerifier:
        """Raises click.UsageError that names everything that was not said."""
        own_keys = target.data_dir / "keys"
        keys_dir = self.keys_dir or (own_keys if target.is_embedded and not self.jwks and own_keys.is_dir() else None)
        missing = [
            option
            for option, said in (
                ("--keys-dir (REVOCATION_KEYS_DIR) or --jwks (REVOCATION_JWKS): the keys they are signed with",
                 keys_dir or self.jwks),
                ("--issuer (REVOCATION_ISSUER)", self.issuer),
                ("--audience (REVOCATION_AUDIENCE)", self.audience),
            )
            if not said
        ]  # fmt: skip
        if missing or self.issuer is None:
            raise click.UsageError("Say which tokens are good:\n  " + "\n  ".join(missing))
        settings = target.settings
        return TokenVerifier(
            _from_jwks(self.jwks) if self.jwks else KeySet.from_pem_dir(keys_dir or own_keys),
            issuer=self.issuer,
            audience=self.audience,
            leeway_seconds=settings.leeway_seconds,
            max_lifetime_seconds=settings.max_token_lifetime_seconds,
            token_types=self.token_types,
            require_jti=self.require_jti,
            iat_tolerance_seconds=self.iat_tolerance_seconds,
            cache_size=0,
        )


def trust_options(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options of Trust to a command, which gets them as its argument `trust`."""
    path = click.Path(exists=True, path_type=Path)
    options = (
        click.option(
            "--keys-dir",
            type=path,
            envvar=["REVOCATION_KEYS_DIR", "APP_KEYS_DIR"],
            show_envvar=True,
            help="Directory of *.pem and *.secret keys. Beside the embedded service: its own, unless said.",
        ),
        click.option("--jwks", type=path, envvar="REVOCATION_JWKS", show_envvar=True, help="A JWKS document."),
        click.option(
            "--issuer",
            envvar=["REVOCATION_ISSUER", "APP_ISSUER"],
            show_envvar=True,
            help="Who issued it, to the letter (`iss`).",
        ),
        click.option(
            "--audience",
            multiple=True,
            envvar=["REVOCATION_AUDIENCE", "APP_AUDIENCE"],
            show_envvar=True,
            help="Whom it is for (`aud`); may be repeated.",
        ),
        click.option(
            "--type",
            "token_types",
            multiple=True,
            default=("at+jwt",),
            show_default=True,
            help="Its `typ`; JWT for Auth0, Keycloak and the like. May be repeated.",
        ),
        click.option("--no-jti", is_flag=True, help="Accept tokens without `jti`."),
        click.option(
            "--iat-tolerance",
            type=click.IntRange(0),
            metavar="SECONDS",
            help="How far `iat` may lie ahead of Redis' clock: 0 where it is Redis' time, as the service's is. One "
            "leeway unless said.",
        ),
    )

    @wraps(command)
    def trusting(
        *args: Any,
        keys_dir: Path | None,
        jwks: Path | None,
        issuer: str | None,
        audience: tuple[str, ...],
        token_types: tuple[str, ...],
        no_jti: bool,
        iat_tolerance: int | None,
        **kwargs: Any,
    ) -> T:
        trust = Trust(keys_dir, jwks, issuer, audience, token_types, not no_jti, iat_tolerance)
        return command(*args, trust=trust, **kwargs)

    decorated: Callable[..., T] = trusting
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def read_token(given: str | None = None) -> str:
    """The token given, or what stands on standard input; asked for without an echo at a terminal."""
    if given not in (None, "-"):
        return _bare(str(given))
    if sys.stdin.isatty():
        token: str = click.prompt("Token (not shown)", hide_input=True, err=True)
        return _bare(token)
    token = _bare(sys.stdin.read(_MOST_CHARACTERS))
    if not token:
        raise click.UsageError("There is no token on standard input: revocation ... < file, or echo $token | ...")
    return token


def _bare(text: str) -> str:
    """Without what stands before it in a header: it was copied from there."""
    text = text.strip()
    return text[7:].strip() if text[:7].lower() == "bearer " else text


def _from_jwks(path: Path) -> KeySet:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is not a JWKS document: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not a JWKS document: not a JSON object")
    return KeySet.from_jwks(document)
