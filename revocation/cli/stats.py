"""`revocation stats`: the deny-list in figures."""

from typing import Any

import click
import redis

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.live_count import count_live
from revocation.cli.progress import Progress
from revocation.cli.terminal import print_facts, print_json, span
from revocation.instants import rfc3339
from revocation.redis.denylist import RedisDenylist


@click.command()
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def stats(chosen: ChosenDenylist, *, as_program: bool) -> None:
    """Show the deny-list in figures.

    Counts each revocation that is in force at the instant shown.
    """
    denylist = chosen.connected()
    figures = _figures(denylist)
    if as_program:
        print_json(figures)
        return
    revocations, epoch, followers = figures["revocations"], figures["epoch"], figures["followers"]
    by_kind = ", ".join(f"{count} {kind}" for kind, count in revocations["by_kind"].items() if count)
    uncertain = revocations["uncertain"]
    more = f", give or take the {uncertain} that were undone while they were counted" if uncertain else ""
    cut_off = f"; nothing issued before {epoch['cutoff']} is accepted" if epoch["cutoff"] else ""
    ages = ", ".join(span(follower["age_seconds"]) for follower in followers)
    memory = figures["memory_bytes"]
    print_facts(
        {
            "server": chosen.place,
            "namespace": chosen.settings.namespace,
            "live revocations": f"{revocations['total']}{more}{f' ({by_kind})' if by_kind else ''}",
            "as of": revocations["as_of"],
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
    log_entries = denylist.link.call(lambda client: _length(client, denylist.namespace.log))
    with Progress("Counting") as progress:
        counted = count_live(denylist, progress)
    return {
        "revocations": {
            "total": counted.by_kind.total(),
            "by_kind": {kind: counted.by_kind[kind] for kind in denylist.kinds()},
            "as_of": rfc3339(counted.as_of_ms),
            "uncertain": counted.uncertain,
        },
        "log_entries": log_entries,
        "epoch": {
            "id": head.epoch,
            "opened_at": rfc3339(head.birth_ms),
            "cutoff": rfc3339(head.everything_ms) if head.everything_ms else None,
        },
        "max_token_lifetime_seconds": head.settings.max_token_seconds,
        "followers": [{"id": id_, "age_seconds": age} for id_, age in sorted(denylist.leases.ages().items())],
        "memory_bytes": denylist.link.call(_memory),
    }


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
