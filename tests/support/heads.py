"""Heads as a test writes them by hand."""

from dataclasses import replace
from typing import Any

from revocation import Lifetimes
from revocation.redis.head import Head


def text_of(head: Head, **changes: Any) -> str:
    """A head as it stands in Redis, with some of its fields changed."""
    head = replace(head, **changes)
    settings = head.settings
    words = (
        *("2", head.epoch, ",".join(head.replaced) or "-", head.last_id, head.last_tag, head.at_ms, head.floor),
        *(head.everything_ms, *head.server, head.reign_ms),
        *(settings.max_token_seconds, settings.leeway_seconds, settings.margin_seconds, settings.session_seconds),
        *(head.bound_ms, head.replicas, head.birth_ms),
        *([",".join(head.kinds)] if head.kinds else []),
    )
    return " ".join(map(str, words))


def made_up_head(**changes: Any) -> Head:
    """A head of the epoch e1 that nobody wrote."""
    blank = Head("e1", (), "0-0", "-", 0, "0-0", 0, ("run", "repl"), 0, Lifetimes(), 60_000, 0, 0, (), "")
    return replace(blank, **changes)
