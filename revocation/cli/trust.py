"""Trust: the options that say whose tokens are good."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.verifier import TokenVerifier

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys, the issuer and the audience of good tokens, and how strictly a verifier reads their claims."""

    keys_dir: Path | None
    jwks: str | None
    issuer: str | None
    audience: tuple[str, ...]
    token_types: tuple[str, ...]
    require_jti: bool
    iat_tolerance_seconds: int | None
    #: Whether the tokens are those of flask-jwt-extended, which name no audience, and perhaps no issuer.
    of_jwt_extended: bool = False

    def verifier(self, chosen: ChosenDenylist) -> TokenVerifier:
        """A verifier of these tokens. Raises click.UsageError that names every missing option."""
        keys = self.jwks or self.keys_dir or _keys_beside(chosen)
        options = (
            ("--keys-dir (REVOCATION_KEYS_DIR) or --jwks (REVOCATION_JWKS): the keys that sign them", keys),
            ("--issuer (REVOCATION_ISSUER)", self.issuer),
            ("--audience (REVOCATION_AUDIENCE)", self.audience or self.of_jwt_extended),
        )
        missing = [option for option, value in options if not value]
        if keys is None or self.issuer is None or missing:
            raise click.UsageError("Say which tokens are good:\n  " + "\n  ".join(missing))
        settings = replace(
            chosen.settings,
            issuer=self.issuer,
            audience=self.audience,
            keys_dir=None if self.jwks else str(keys),
            jwks=self.jwks,
            token_cache_size=0,
        )
        if self.of_jwt_extended:
            return settings.verifier(
                audience=None,
                token_types=("JWT",),
                require_iss=False,
                integer_subject=True,
                require_jti=self.require_jti,
                iat_tolerance_seconds=self.iat_tolerance_seconds,
            )
        return settings.verifier(
            token_types=self.token_types,
            require_jti=self.require_jti,
            iat_tolerance_seconds=self.iat_tolerance_seconds,
        )


def trust_options(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options of Trust to a command, which receives them as its argument `trust`."""
    path = click.Path(exists=True, path_type=Path)
    options = (
        click.option(
            "--keys-dir",
            type=path,
            envvar="REVOCATION_KEYS_DIR",
            show_envvar=True,
            help="A directory of *.pem and *.secret keys. With an embedded store: the keys beside it, unless given.",
        ),
        click.option(
            "--jwks",
            envvar="REVOCATION_JWKS",
            show_envvar=True,
            shell_complete=_jwks_that_begin,
            help="A JWKS document: a file, an https URL, or discover, for the one that the issuer's metadata names.",
        ),
        click.option(
            "--issuer",
            envvar="REVOCATION_ISSUER",
            show_envvar=True,
            help="The issuer, to the letter (`iss`).",
        ),
        click.option(
            "--audience",
            multiple=True,
            envvar="REVOCATION_AUDIENCE",
            show_envvar=True,
            help="An audience (`aud`); may be repeated.",
        ),
        click.option(
            "--type",
            "token_types",
            multiple=True,
            default=("at+jwt",),
            show_default=True,
            shell_complete=_types_that_begin,
            help="A type (`typ`); JWT for Auth0, Keycloak and the like. May be repeated.",
        ),
        click.option(
            "--flask-jwt-extended",
            "of_jwt_extended",
            is_flag=True,
            help="The tokens are those of flask-jwt-extended: of the type JWT, for no audience, and perhaps without an "
            "issuer.",
        ),
        click.option("--no-jti", is_flag=True, help="Accept tokens without `jti`."),
        click.option(
            "--iat-tolerance",
            type=click.IntRange(0),
            metavar="SECONDS",
            help="How far `iat` may lie ahead of Redis' clock: 0 for tokens that carry Redis' time, as the service's "
            "do. One leeway unless given.",
        ),
    )

    @wraps(command)
    def trusting(
        *args: Any,
        keys_dir: Path | None,
        jwks: str | None,
        issuer: str | None,
        audience: tuple[str, ...],
        token_types: tuple[str, ...],
        of_jwt_extended: bool,
        no_jti: bool,
        iat_tolerance: int | None,
        **kwargs: Any,
    ) -> T:
        trust = Trust(keys_dir, jwks, issuer, audience, token_types, not no_jti, iat_tolerance, of_jwt_extended)
        return command(*args, trust=trust, **kwargs)

    decorated: Callable[..., T] = trusting
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _jwks_that_begin(_context: click.Context, _option: click.Parameter, beginning: str) -> list[CompletionItem]:
    if beginning and "discover".startswith(beginning):
        return [CompletionItem("discover")]
    return [CompletionItem(beginning, type="file")]


def _types_that_begin(_context: click.Context, _option: click.Parameter, beginning: str) -> list[CompletionItem]:
    return [CompletionItem(each) for each in ("at+jwt", "JWT") if each.startswith(beginning)]


def _keys_beside(chosen: ChosenDenylist) -> Path | None:
    """The directory in which the service keeps its keys, beside its embedded store."""
    keys = chosen.directory / "keys" if chosen.directory else None
    return keys if keys and keys.is_dir() else None
