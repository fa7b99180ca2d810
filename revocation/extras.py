"""Extras: what an import says where the package that an extra brings is not installed."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def extra(name: str, *, brings: str, needed_by: str) -> Iterator[None]:
    """Around the imports of what an extra brings: where it is missing, the error names the extra.

    `brings` is the package by its import name. Raises ModuleNotFoundError, as the import itself does.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != brings:
            raise
        raise ModuleNotFoundError(
            f"{needed_by} needs the extra `{name}`: pip install 'revocation[{name}]'", name=brings
        ) from error
