"""`revocation stats`: the deny-list in figures."""

from collections import Counter
from typing import Any

import click
import redis

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.progress import Progress
from revocation.cli.revocations import live
from revocation.cli.terminal import instant, print_facts, print_json, span
from revocation.handles import KINDS
from revocation.redis.denylist import RedisDenylist


@click.command()
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def stats(chosen: ChosenDenylist, *, as_program: bool) -> None:
    """Show the deny-list in figures."""
    denylist = chosen.connected()
    figures = _figures(denylist)
    if as_program:
        print_json(figures)
        return
    revocations, epoch, followers = figures["revocations"], figures["epoch"], figures["followers"]
    by_kind = ", ".join(f"{count} {kind}" for kind, count in revocations["by_kind"].items() if count)
    cut_off = f"; nothing issued before {epoch['cutoff']} is accepted" if epoch["cutoff"] else ""
    ages = ", ".join(span(follower["age_seconds"]) for follower in followers)
    memory = figures["memory_bytes"]
    print_facts(
        {
            "server": chosen.place,
            "namespace": chosen.settings.namespace,
            "live revocations": f"{revocations['total']}" + (f" ({by_kind})" if by_kind else ""),
            "log": f"{figures['log_entries']} entries",
            "epoch": f"{epoch['id']}, since {epoch['opened_at']}{cut_off}",
            "followers": f"{len(followers)}" + (f", last beats {ages} ago" if ages else ""),
            "memory": "not known: the server forbids INFO"
            if memory is None
            else f"{memory / 1e6:.1f} MB in use by the server",
        }
    )


def _figures(denylist: RedisDenylist) -> dict[str, Any]:
    head = denylist.head()
    log_entries = denylist.link.call(lambda client: _length(client, denylist.key("log")))
    counted = _counted(denylist, at_most=log_entries)
    return {
        "revocations": {"total": counted.total(), "by_kind": {kind: counted[kind] for kind in KINDS}},
        "log_entries": log_entries,
        "epoch": {
            "id": head.epoch,
            "opened_at": instant(head.birth_ms),
            "cutoff": instant(head.everything_ms) if head.everything_ms else None,
        },
        "max_token_lifetime_seconds": head.settings.max_token_seconds,
        "followers": [{"id": id_, "age_seconds": age} for id_, age in sorted(denylist.leases.ages().items())],
        "memory_bytes": denylist.link.call(_memory),
    }


def _counted(denylist: RedisDenylist, *, at_most: int) -> Counter[str]:
    """How many revocations are in force, by kind. `at_most` is about how many there can be, for the progress."""
    counted: Counter[str] = Counter()
    with Progress("Counting", total=at_most) as progress:
        for revocation in live(denylist):
            counted[revocation.handle.kind] += 1
            progress.done += 1
    return counted


def _length(client: "redis.Redis", log: str) -> int:
    try:
        stream: Any = client.xinfo_stream(log)
    except redis.ResponseError as error:
        if "no such key" in str(error):
            return 0
        raise
    return int(stream["length"])


def _memory(client: "redis.Redis") -> int | None:
    try:
        return int(client.info("memory")["used_memory"])
    except redis.ResponseError:
        # An ACL forbids INFO to this user.
        return None
