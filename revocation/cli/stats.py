"""`revocation stats`: the deny-list in figures."""

from collections import Counter
from itertools import islice
from typing import Any

import click
import redis

from revocation.cli.live import live
from revocation.cli.target import Target
from revocation.cli.terminal import instant, print_facts, print_json, span
from revocation.handles import KINDS
from revocation.redis.denylist import RedisDenylist

#: Counting a longer list would keep Redis busy for a figure.
_COUNTED_AT_MOST = 20_000


@click.command()
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def stats(target: Target, *, as_program: bool) -> None:
    """The deny-list in figures."""
    denylist = target.denylist()
    figures = _figures(denylist)
    if as_program:
        print_json(figures)
        return
    live_, epoch, followers = figures["revocations"], figures["epoch"], figures["followers"]
    at_least = "at least " if live_["more"] else ""
    by_kind = ", ".join(f"{count} {kind}" for kind, count in live_["by_kind"].items() if count)
    cut_off = f"; nothing issued before {epoch['cutoff']} is accepted" if epoch["cutoff"] else ""
    ages = ", ".join(span(one["age_seconds"]) for one in followers)
    memory = figures["memory_bytes"]
    print_facts(
        {
            "server": target.where,
            "namespace": target.settings.namespace,
            "live revocations": f"{at_least}{live_['total']}" + (f" ({by_kind})" if by_kind else ""),
            "log": f"{figures['log_entries']} entries",
            "epoch": f"{epoch['id']}, since {epoch['opened_at']}{cut_off}",
            "followers": f"{len(followers)}" + (f", last heard of {ages} ago" if ages else ""),
            "memory": "not told" if memory is None else f"{memory / 1e6:.1f} MB in use by the server",
        }
    )


def _figures(denylist: RedisDenylist) -> dict[str, Any]:
    head = denylist.head()
    found = list(islice(live(denylist), _COUNTED_AT_MOST + 1))
    counted = Counter(one.handle.kind for one in found[:_COUNTED_AT_MOST])
    return {
        "revocations": {
            "total": counted.total(),
            "more": len(found) > _COUNTED_AT_MOST,
            "by_kind": {kind: counted[kind] for kind in KINDS},
        },
        "log_entries": denylist.link.call(lambda client: _length(client, denylist.key("log"))),
        "epoch": {
            "id": head.epoch,
            "opened_at": instant(head.birth_ms),
            "cutoff": instant(head.everything_ms) if head.everything_ms else None,
        },
        "max_token_lifetime_seconds": head.max_token_seconds,
        "followers": [{"id": id_, "age_seconds": age} for id_, age in sorted(denylist.leases.ages().items())],
        "memory_bytes": denylist.link.call(_memory),
    }


def _length(client: "redis.Redis", log: str) -> int:
    try:
        told: Any = client.xinfo_stream(log)
    except redis.ResponseError as error:
        if "no such key" in str(error):
            return 0
        raise
    return int(told["length"])


def _memory(client: "redis.Redis") -> int | None:
    try:
        return int(client.info("memory")["used_memory"])
    except redis.ResponseError:
        # Forbidden by an ACL.
        return None
