"""The embedded store, which a command starts where it does not run yet."""

import contextlib
from collections.abc import Iterator

from app.settings import Settings
from revocation import ConfigurationError, EmbeddedServer
from revocation.cli.progress import Progress


@contextlib.contextmanager
def embedded_store(settings: Settings, *, alone: bool = False) -> Iterator[None]:
    """Keep the embedded store running until the block ends; nothing where the service is set to another Redis.

    The store is this process's own, or that of the service that runs. With `alone`, a service that runs is a
    ConfigurationError.
    """
    if not settings.is_embedded:
        yield
        return
    with contextlib.ExitStack() as stack:
        with Progress("Starting the embedded store"):
            owned = stack.enter_context(EmbeddedServer(settings.data_dir).owned())
        if alone and not owned:
            raise ConfigurationError(f"another process serves from {settings.data_dir.resolve()} already")
        yield
