"""Logs: JSON, one line a record. No line holds a token, a secret or a password: a request is known by its route."""

import json
import logging
import re
import time
from typing import Any, Final

from flask import Flask, Request, Response, g, request

from revocation.flask import decision_of
from revocation.instants import rfc3339

_access = logging.getLogger("app.request")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what a call gives as `extra={"fields": {...}}` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": rfc3339(1000 * record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=True)


_QUOTES_REQUEST = re.compile(r"(Invalid request from ip=\S*|Error handling request)(?::? |$)")


class WithoutRequest(logging.Filter):
    """Takes out what gunicorn quotes of a request that it cannot read: a line of it may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, and of its message what is not quoted."""
        if quoting := _QUOTES_REQUEST.match(record.getMessage()):
            record.msg, record.args = quoting[1].removesuffix(":"), ()
        return True


#: For logging.config.dictConfig, and gunicorn's logconfig_dict.
CONFIG: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "app.logs.JsonFormatter"}},
    "filters": {"without request": {"()": "app.logs.WithoutRequest"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["stderr"],
            "filters": ["without request"],
            "propagate": False,
        },
        # Ours says what gunicorn's would, and never holds a path that might hold a secret.
        "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
        # It names each of its plugins at every start; what it migrates is said by alembic.runtime.migration.
        "alembic.runtime.plugins": {"level": "WARNING"},
    },
}


def spare_what_nobody_reads() -> None:
    """Let records be made without what no line of ours shows.

    It would cost every request (Python's logging HOWTO, "Optimization").
    """
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False
    vars(logging)["_srcfile"] = None


def init_app(app: Flask) -> None:
    """Log one line for every request."""
    app.before_request(_start)
    app.after_request(_log)


def _start() -> None:
    g.started = time.perf_counter()


def _log(response: Response) -> Response:
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy
    context: Any = g._get_current_object()
    decision = decision_of(current)
    now = time.perf_counter()
    fields: dict[str, Any] = {
        "method": current.method if current.method.isalpha() else "?",
        "route": current.url_rule.rule if current.url_rule else None,
        "status": response.status_code,
        "duration_ms": round((now - context.get("started", now)) * 1000, 3),
        "address": current.remote_addr,
    }
    if decision is not None:
        fields["source"] = decision.source
        if decision.claims is not None:
            fields["subject"] = decision.claims.subject
    _access.info("request", extra={"fields": fields})
    return response
