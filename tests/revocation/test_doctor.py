"""`revocation doctor`, on servers that are broken on purpose."""

import contextlib
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from revocation import Guard, Handle, RedisDenylist, RevocationSettings, connect
from revocation.cli import exits
from revocation.doctor.finding import Finding
from revocation.doctor.rights import rights
from revocation.doctor.server import ExaminedServer
from revocation.doctor.timing import latency_and_clock
from revocation.doctor.tls import tls
from revocation.redis.embedded import EmbeddedServer, socket_path
from revocation.redis.head import majority
from tests.revocation.test_access import MINIMAL_ACL, with_user
from tests.support import clusters, sentinels
from tests.support.certificates import certificates
from tests.support.command import Terminal, spawn
from tests.support.denylists import SUBJECT, opened, until
from tests.support.ports import free_port
from tests.support.proxy import Fault, Proxy, late
from tests.support.requirements import require
from tests.support.servers import Server, StartServer, plain
from tests.support.tokens import ISSUER

#: A server as it should be.
GOOD = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")

#: Under load an answer may take long; a follower then goes on all the same.
SLOW_MACHINE = {"REVOCATION_TIMEOUT": "2"}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys, **SLOW_MACHINE)


def examined(terminal: Terminal, url: str, *, code: int, **env: str) -> dict[str, dict[str, str]]:
    """The findings by what was looked at, of a run that ends with this code."""
    done = terminal("doctor", "--json", REVOCATION_REDIS_URL=url, **env)
    assert done.code == code, done.out + done.err
    findings = done.json["findings"]
    assert done.json["healthy"] == (code == exits.OK)
    for finding in findings:
        assert finding["what"]
        # What is wrong says why that matters and how it is mended.
        assert (finding["severity"] == "fine") == (finding["why"] is None) == (finding["mend"] is None)
    assert len({finding["check"] for finding in findings}) == len(findings)
    return {finding["check"]: finding for finding in findings}


def examined_server(url: str) -> ExaminedServer:
    return ExaminedServer(
        RedisDenylist(connect(url, timeout_seconds=5)), settings=RevocationSettings(redis_url=url), url=url
    )


@contextlib.contextmanager
def followed(server: Server) -> Iterator[None]:
    """While somebody follows the deny-list."""
    denylist = RedisDenylist(connect(server.url, timeout_seconds=5))
    guard = Guard(None, denylist)
    guard.start()
    try:
        until(lambda: bool(denylist.leases.living()))
        yield
    finally:
        guard.stop()


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_server_as_it_should_be_is_fine(terminal: Terminal, start_server: StartServer, make: Any) -> None:
    server = start_server(make, *GOOD)
    opened(server.client(), "denylist").revoke(SUBJECT)
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL, "+config|get")

    with followed(server):
        findings = examined(terminal, url, code=exits.OK)

    assert {one["check"]: one["severity"] for one in findings.values() if one["check"] != "acl-width"} == {
        **dict.fromkeys(("eviction", "memory", "persistence", "fsync", "replication", "latency", "clock"), "fine"),
        **dict.fromkeys(("acl-needed", "tls", "version", "lifetime", "handles", "epoch", "followers"), "fine"),
    }
    # It was given one command more than it needs.
    assert "CONFIG GET" in findings["acl-width"]["what"]


def test_it_leaves_nothing_behind_and_changes_no_revocation(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    denylist = opened(server.client(), "denylist")
    denylist.revoke(SUBJECT)

    # A follower that died is forgotten, as by every receipt.
    server.client().sadd(denylist.namespace.followers, "dead")

    def everything() -> dict[bytes, object]:
        client = server.client()
        keys: Any = client.keys("*")
        return {key: client.dump(key) for key in sorted(keys)}

    before = everything()
    examined(terminal, server.url, code=exits.OK)

    assert before.pop(denylist.namespace.followers.encode())
    assert everything() == before


# Storage


def test_a_server_that_evicts_is_a_problem_that_one_command_mends(
    terminal: Terminal, start_server: StartServer
) -> None:
    server = start_server("valkey", *GOOD, "--maxmemory", "100mb")
    opened(server.client(), "denylist")
    server.client().config_set("maxmemory-policy", "allkeys-lru")

    finding = examined(terminal, server.url, code=exits.REFUSED)["eviction"]
    assert finding["severity"] == "problem"
    assert "allkeys-lru" in finding["what"]

    mended = finding["mend"].partition("   # ")[0]
    assert mended == f"redis-cli -s {server.socket} CONFIG SET maxmemory-policy noeviction"
    untyped: Any = server.client()
    untyped.execute_command(*mended.split()[3:])
    examined(terminal, server.url, code=exits.OK)


def test_eviction_that_is_allowed_is_a_warning(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD, "--maxmemory-policy", "allkeys-lru")
    allowed = RedisDenylist(connect(server.url, timeout_seconds=5), allow_eviction=True)
    allowed.open(accept_existing=True)

    findings = examined(terminal, server.url, code=exits.OK, REVOCATION_ALLOW_EVICTION="1")

    assert findings["eviction"]["severity"] == "warning"


def test_what_was_evicted_before_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("redis", *GOOD)
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 500_000)
    for number in range(2_000):
        client.set(f"other:{number}", "x" * 1000)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")
    client.flushall()
    opened(client, "denylist")

    finding = examined(terminal, server.url, code=exits.REFUSED)["eviction"]

    assert "were evicted" in finding["what"]
    assert "revocation init --new-epoch" in finding["mend"]


@pytest.mark.parametrize(("part", "severity"), [(0.8, "warning"), (0.95, "problem")])
def test_memory_that_is_nearly_full_is_told(
    terminal: Terminal, start_server: StartServer, part: float, severity: str
) -> None:
    server = start_server("redis", *GOOD)
    client = server.client()
    opened(client, "denylist")
    # In small pieces: the buffers that one large one passes through are in use, too, for a moment.
    for number in range(600):
        client.set(f"other:{number}", "x" * 50_000)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / part))

    finding = examined(terminal, server.url, code=exits.REFUSED if severity == "problem" else exits.OK)["memory"]

    assert finding["severity"] == severity
    assert "CONFIG SET maxmemory" in finding["mend"]


def test_no_append_only_file_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey")
    opened(server.client(), "denylist")

    finding = examined(terminal, server.url, code=exits.REFUSED)["persistence"]

    assert finding["severity"] == "problem"
    assert "CONFIG SET appendonly yes" in finding["mend"]


@pytest.mark.parametrize(("setting", "severity"), [("everysec", "warning"), ("no", "problem")])
def test_an_append_only_file_that_is_written_late_is_told(
    terminal: Terminal, start_server: StartServer, setting: str, severity: str
) -> None:
    server = start_server("redis", *GOOD, "--appendfsync", setting)
    opened(server.client(), "denylist")

    finding = examined(terminal, server.url, code=exits.REFUSED if severity == "problem" else exits.OK)["fsync"]

    assert finding["severity"] == severity
    assert setting in finding["what"]


# Replicas


def replicated(start_server: StartServer) -> tuple[Server, Server]:
    port = str(free_port())
    primary = start_server("redis", *GOOD, "--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    replica = start_server("redis", *GOOD, "--replicaof", "127.0.0.1", port)
    until(lambda: primary.client().info("replication").get("slave0", {}).get("state") == "online")
    return primary, replica


def test_replicas_that_nobody_waits_for_are_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    primary, _ = replicated(start_server)
    opened(primary.client(), "denylist")

    finding = examined(terminal, primary.url, code=exits.REFUSED)["replication"]

    assert finding["mend"] == "export REVOCATION_MIN_REPLICAS=1"
    needed = examined(terminal, primary.url, code=exits.OK, REVOCATION_MIN_REPLICAS="1")["replication"]
    assert needed["severity"] == "warning"
    assert "each of them is needed" in needed["what"]
    assert needed["mend"] == "give the primary 2 replicas"


def test_a_replica_that_is_missing_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")

    finding = examined(terminal, server.url, code=exits.REFUSED, REVOCATION_MIN_REPLICAS="1")["replication"]

    assert "0 replicas are online" in finding["what"]


def test_a_replica_in_the_place_of_its_primary_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    primary, replica = replicated(start_server)
    opened(primary.client(), "denylist")
    until(lambda: bool(replica.client().exists("{denylist}:head")))

    finding = examined(terminal, replica.url, code=exits.REFUSED)["replication"]

    assert "This server is a replica" in finding["what"]
    assert "127.0.0.1" in finding["mend"]


@pytest.mark.parametrize("replicas", range(1, 9))
def test_a_majority_is_never_in_both_halves(replicas: int) -> None:
    nodes, least = replicas + 1, majority(replicas)

    assert 2 * (least + 1) > nodes
    assert 2 * least <= nodes


# Time


def test_a_slow_server_is_measured_against_the_timeout(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist")
    proxy = Proxy(server.socket)
    url = f"redis://127.0.0.1:{proxy.port}/0"
    try:
        with proxy.faulty(Fault(reply=late(0.06))):
            slow = examined(terminal, url, code=exits.REFUSED, REVOCATION_TIMEOUT="0.05")["latency"]
    finally:
        proxy.close()

    assert slow["severity"] == "problem"
    assert "the timeout is 50 ms" in slow["what"]
    assert "REVOCATION_TIMEOUT=" in slow["mend"]


@pytest.mark.parametrize(("ahead", "severity"), [(0.5, "fine"), (5.0, "warning"), (-60.0, "problem")])
def test_clocks_that_disagree_are_told(start_server: StartServer, ahead: float, severity: str) -> None:
    url = start_server("valkey", *GOOD).url
    server = examined_server(url)

    _, finding = latency_and_clock(server, now=lambda: time.time() + ahead)

    assert finding.severity == severity
    assert f"{ahead:+.1f}" in finding.what


# Access


@pytest.mark.parametrize("missing", ["+xadd", "+evalsha", "+set", "+script|load", "+mget", "+xtrim", "+zscore"])
def test_a_user_that_may_not_do_enough_is_a_problem(
    terminal: Terminal, start_server: StartServer, missing: str
) -> None:
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~{denylist}:*", *(rule for rule in MINIMAL_ACL if rule != missing))

    finding = examined(terminal, url, code=exits.REFUSED)["acl-needed"]

    assert [word for word in shlex.split(finding["mend"]) if word[0] in "~+"] == ["~{denylist}:*", missing]
    pasted(finding["mend"])
    assert examined(terminal, url, code=exits.OK)["acl-needed"]["severity"] == "fine"


def test_a_user_that_may_not_wait_is_a_warning_and_a_problem_with_replicas(
    terminal: Terminal, start_server: StartServer
) -> None:
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~{denylist}:*", *(rule for rule in MINIMAL_ACL if rule != "+wait"))

    finding = examined(terminal, url, code=exits.OK)["acl-needed"]
    asked_for = examined(terminal, url, code=exits.REFUSED, REVOCATION_MIN_REPLICAS="1")["acl-needed"]

    assert (finding["severity"], asked_for["severity"]) == ("warning", "problem")
    assert finding["mend"].endswith(" +wait")
    assert "writes a key" in finding["why"]


def test_a_user_of_other_keys_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~other:*", *MINIMAL_ACL)

    findings = examined(terminal, url, code=exits.REFUSED)

    assert "'~{denylist}:*'" in findings["acl-needed"]["mend"]
    # It is there, and this user cannot see it.
    assert findings["epoch"]["severity"] == "unknown"


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_user_with_just_what_is_needed_is_fine(terminal: Terminal, start_server: StartServer, make: Any) -> None:
    server = start_server(make, *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL)

    findings = examined(terminal, url, code=exits.OK)

    assert findings["acl-needed"]["severity"] == findings["acl-width"]["severity"] == "fine"
    # What it may not ask is said to be unknown.
    assert findings["fsync"]["severity"] == "unknown"
    assert terminal("doctor", "--strict", REVOCATION_REDIS_URL=url).code == exits.REFUSED


def test_of_a_user_that_may_not_ask_for_its_rights_no_right_is_told_that_nobody_looked_at(
    terminal: Terminal, start_server: StartServer
) -> None:
    """It may ask who it is, and not what it may do."""
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")

    finding = examined(
        terminal, with_user(server, "~{denylist}:*", *MINIMAL_ACL, "+acl|whoami", "+flushall"), code=exits.OK
    )["acl-width"]

    assert finding["severity"] == "fine"
    assert "may not ask for its other rights" in finding["what"]
    assert "flush" not in finding["what"]


def test_the_socket_of_an_embedded_server_is_looked_at(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path).owned():
        server = examined_server(f"embedded:{tmp_path}")
        path = socket_path(tmp_path)

        found = {}
        for mode in (0o700, 0o770):
            path.chmod(mode)
            found[mode] = {finding.check: finding for finding in rights(server)}["acl-width"]
        server.denylist.link.close()

    assert (found[0o700].severity, found[0o770].severity) == ("fine", "warning")
    assert found[0o770].mend == f"chmod 700 {path}"


def test_a_user_that_may_scan_may_list_keys(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL, "+acl|whoami", "+acl|dryrun", "+scan")

    finding = examined(terminal, url, code=exits.OK)["acl-width"]

    assert finding["severity"] == "warning"
    assert "may use SCAN" in finding["what"]


@pytest.mark.parametrize("rules", [("~*", "+@all"), ("~*", *MINIMAL_ACL), ("~{denylist}:*", "+@all", "-acl")])
def test_a_user_that_may_do_too_much_is_a_warning(
    terminal: Terminal, start_server: StartServer, rules: tuple[str, ...]
) -> None:
    server = start_server("redis", *GOOD)
    opened(server.client(), "denylist")

    finding = examined(terminal, with_user(server, *rules), code=exits.OK)["acl-width"]

    assert finding["severity"] == "warning"
    assert ("every key" in finding["what"]) == ("~*" in rules)
    # Pasted, it makes the user of the documentation, with these rights and no others.
    pasted(finding["mend"].replace(">PASSWORD", ">pass"))
    narrow = server.url.replace("unix://", "unix://revocation:pass@")
    findings = examined(terminal, narrow, code=exits.OK)
    assert (findings["acl-needed"]["severity"], findings["acl-width"]["severity"]) == ("fine", "fine")


def test_a_user_without_info_makes_unknowns_of_what_it_would_say(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist")
    url = with_user(server, "~{denylist}:*", *(rule for rule in MINIMAL_ACL if rule != "+info"))

    findings = examined(terminal, url, code=exits.REFUSED)

    for check in ("eviction", "memory", "persistence", "replication", "version"):
        assert findings[check]["severity"] == "unknown"


def test_tls_is_missed_on_the_way_to_another_machine_only(
    terminal: Terminal, start_server: StartServer, tmp_path: Path
) -> None:
    def severity(url: str) -> str:
        (finding,) = tls(examined_server(url))
        return finding.severity

    assert severity("redis://10.0.0.7:6379/0") == "warning"
    assert severity("redis+sentinel://127.0.0.1:1,redis-2.example:1/main") == "warning"
    assert severity("redis+cluster://u:p%40x@[2001:db8::1]:1,127.0.0.1:2") == "warning"
    for near in ("redis://127.0.0.1:1/0", "redis://[::1]:1/0", "redis://localhost/0", "unix:///run/x.sock"):
        assert severity(near) == "fine"

    own = certificates(tmp_path / "own", host="127.0.0.1")
    server = start_server("redis", *GOOD, tls=own)
    opened(server.client(), "denylist")
    url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={own.authority}"
    assert examined(terminal, url, code=exits.OK)["tls"]["severity"] == "fine"
    assert severity("rediss://redis.example:6379/0") == "fine"


def test_of_a_certificate_no_more_is_said_to_be_checked_than_is(tmp_path: Path) -> None:
    own = certificates(tmp_path, host="127.0.0.1")

    def finding(scheme: str, query: str) -> Finding:
        (one,) = tls(examined_server(f"{scheme}://redis.example:6379{query}"))
        return one

    for scheme, place in (("rediss", "/0"), ("rediss+sentinel", "/main"), ("rediss+cluster", "")):
        assert "the certificate and the host name" in finding(scheme, f"{place}?ssl_ca_certs={own.authority}").what

        narrow = finding(scheme, f"{place}?ssl_check_hostname=no&ssl_ca_certs={own.authority}")
        wide = finding(scheme, f"{place}?ssl_check_hostname=no")

        assert (narrow.severity, wide.severity) == ("fine", "warning")
        for one in (narrow, wide):
            assert "the host name" in one.what
            assert "the certificate and the host name" not in one.what
        assert str(own.authority) in narrow.what


# State


def test_a_longer_lifetime_or_leeway_is_a_problem_and_a_shorter_one_is_not(
    terminal: Terminal, start_server: StartServer
) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist")

    longer = examined(terminal, server.url, code=exits.REFUSED, REVOCATION_MAX_TOKEN_LIFETIME="86401")["lifetime"]
    leeway = examined(terminal, server.url, code=exits.REFUSED, REVOCATION_LEEWAY="31")["lifetime"]
    shorter = examined(
        *(terminal, server.url), code=exits.OK, REVOCATION_MAX_TOKEN_LIFETIME="3600", REVOCATION_LEEWAY="0"
    )["lifetime"]

    assert longer["mend"] == "export REVOCATION_MAX_TOKEN_LIFETIME=86400"
    assert leeway["mend"] == "export REVOCATION_LEEWAY=30"
    assert shorter["severity"] == "fine"


def test_kinds_that_the_environment_or_the_deny_list_does_not_know_are_told(
    terminal: Terminal, start_server: StartServer
) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist")
    RedisDenylist(server.client(), decides=False).open(declare=["org", "device*"])

    untold = examined(terminal, server.url, code=exits.REFUSED, REVOCATION_HANDLES="org=org_id")["handles"]
    ahead = "org=org_id device*=cnf.jkt team=team"
    waiting = examined(terminal, server.url, code=exits.OK, REVOCATION_HANDLES=ahead)["handles"]
    same = examined(terminal, server.url, code=exits.OK, REVOCATION_HANDLES="org=org_id device*=cnf.jkt")["handles"]

    assert (untold["severity"], untold["mend"]) == (
        "problem",
        "name their claims in REVOCATION_HANDLES, such as device*=CLAIM",
    )
    assert waiting["severity"] == "warning"
    assert waiting["mend"].endswith("revocation init --declare 'team'")
    assert same["severity"] == "fine"


def test_a_deny_list_that_was_never_opened_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)

    finding = examined(terminal, server.url, code=exits.REFUSED)["epoch"]

    assert finding["mend"] == "revocation init"


def test_a_deny_list_of_another_name_is_found(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "production")

    finding = examined(terminal, server.url, code=exits.REFUSED)["epoch"]

    assert "production" in finding["what"]
    assert "REVOCATION_NAMESPACE" in finding["mend"]


def test_a_head_that_cannot_be_read_is_a_problem(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    server.client().set("{denylist}:head", "9 from the future")

    finding = examined(terminal, server.url, code=exits.REFUSED)["epoch"]

    assert "newer version" in finding["what"]
    assert "upgrade the older side" in finding["mend"]
    assert "DEL '{denylist}:head'" in finding["mend"]


def test_a_head_of_the_first_edition_is_a_problem_that_a_new_epoch_mends(
    terminal: Terminal, start_server: StartServer
) -> None:
    server = start_server("valkey", *GOOD)
    server.client().set("{denylist}:head", "1 abc 1700000000000 0-0 - 0 86400")

    finding = examined(terminal, server.url, code=exits.REFUSED)["epoch"]

    assert "older version" in finding["what"]
    assert finding["mend"].endswith("revocation init --new-epoch")


def test_an_epoch_in_place_of_an_earlier_one_is_a_warning(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    denylist = opened(server.client(), "denylist")
    denylist.revoke(SUBJECT)
    assert examined(terminal, server.url, code=exits.OK)["epoch"]["severity"] == "fine"
    server.client().delete("{denylist}:head")
    denylist.open()

    finding = examined(terminal, server.url, code=exits.OK)["epoch"]

    assert finding["severity"] == "warning"
    assert "in place of an earlier one" in finding["what"]


def test_followers_are_counted_and_those_behind_are_named(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    denylist = opened(server.client(), "denylist")

    assert examined(terminal, server.url, code=exits.OK)["followers"]["severity"] == "warning"

    with followed(server):
        denylist.revoke(SUBJECT)
        assert examined(terminal, server.url, code=exits.OK)["followers"]["what"].startswith("1 alive")

        server.client().set("{denylist}:follower:77-stuck", "1-0-aaaa 600000", px=600_000)
        server.client().sadd("{denylist}:followers", "77-stuck")
        behind = examined(terminal, server.url, code=exits.OK)["followers"]
        assert behind["severity"] == "warning"
        assert "1 of 2 followers are behind the log: 77-stuck" in behind["what"]


def test_memory_is_no_store_for_several_workers(terminal: Terminal) -> None:
    finding = examined(terminal, "memory", code=exits.REFUSED)["store"]

    assert "each process has a deny-list of its own" in finding["what"]


# Servers that do not answer


def test_nothing_listening_is_said_and_no_answer(terminal: Terminal) -> None:
    done = terminal("doctor", REVOCATION_REDIS_URL=f"redis://user:s3cret@127.0.0.1:{free_port()}/0")

    assert done.code == exits.UNAVAILABLE
    assert "does not answer" in done.out
    assert "s3cret" not in done.out + done.err


def test_a_wrong_password_is_said(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("redis", *GOOD)
    url = with_user(server, "~*", "+@all").replace(":pass@", ":s3cret@")

    finding = examined(terminal, url, code=exits.UNAVAILABLE)["reach"]

    assert "refuses the user or the password" in finding["what"]
    assert "s3cret" not in str(finding)


def test_a_server_that_hangs_is_said(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    with server.paused():
        finding = examined(terminal, server.url, code=exits.UNAVAILABLE)["reach"]

    assert "does not answer" in finding["what"]


def test_a_server_that_loads_its_data_is_said(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("redis", "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    client = server.client()
    opened(client, "denylist")
    for number in range(2_000):
        client.set(f"other:{number}", "x" * 1000)
    client.config_set("key-load-delay", 20_000)

    def reload() -> None:
        # Ended with the server: it would take 40 s.
        with contextlib.suppress(redis.RedisError):
            untyped: Any = server.client()
            untyped.execute_command("DEBUG", "RELOAD")

    threading.Thread(target=reload, daemon=True).start()
    asking = plain(connect(server.url, timeout_seconds=5))
    until(lambda: _loads(asking))

    finding = examined(terminal, server.url, code=exits.UNAVAILABLE)["reach"]

    assert finding["what"] == "Redis is loading its data."


def _loads(client: "redis.Redis") -> bool:
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    return False


# As it is run


def test_it_runs_in_a_process_of_its_own(start_server: StartServer) -> None:
    server = start_server("valkey", "--maxmemory-policy", "volatile-ttl")

    with spawn("doctor", env={"REVOCATION_REDIS_URL": server.url, **SLOW_MACHINE}) as process:
        out, err = process.communicate(timeout=30)

    assert process.returncode == exits.REFUSED
    assert err == ""
    first = out.splitlines()[2]
    assert first.startswith("✗  eviction")
    assert "mend: redis-cli -s" in out
    assert "problems" in out.splitlines()[-1]


def test_nothing_is_printed_that_a_terminal_would_obey(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey", *GOOD)
    opened(server.client(), "denylist").revoke(Handle("subject", "ada", issuer=ISSUER))
    server.client().set("{denylist}:follower:\x1b[31m", "1-0-aaaa 600000", px=600_000)
    server.client().sadd("{denylist}:followers", "\x1b[31m")

    done = terminal("doctor", REVOCATION_REDIS_URL=server.url)

    assert "\x1b" not in done.out
    assert "\\x1b[31m" in done.out


# Sentinel and Cluster


def _priority(replica: dict[str, Any]) -> int:
    return int(replica["slave-priority"])


def test_behind_sentinels_the_primary_is_examined_and_priorities_are_compared(
    terminal: Terminal, tmp_path: Path
) -> None:
    with sentinels.three_nodes() as nodes:
        denylist = RedisDenylist(connect(nodes.url, timeout_seconds=5), min_replicas=1)
        denylist.open(accept_existing=True)

        findings = examined(terminal, nodes.url, code=exits.REFUSED, REVOCATION_MIN_REPLICAS="1")
        assert findings["replication"]["what"].startswith("2 replicas are online")
        assert findings["replica-priority"]["severity"] == "fine"

        pool: Any = denylist.link.client.connection_pool
        watchers = pool.sentinel_manager.sentinels
        replica = watchers[0].sentinel_slaves("service")[0]
        with contextlib.closing(redis.Redis(port=int(replica["port"]))) as client:
            client.config_set("replica-priority", 50)
        # A Sentinel asks each server now and then. The doctor examines more than that, and is asked when all know it.
        until(lambda: all(50 in map(_priority, one.sentinel_slaves("service")) for one in watchers))
        until(
            lambda: (
                examined(terminal, nodes.url, code=exits.REFUSED)["replica-priority"]["what"]
                == "The replicas have different priorities: 50, 100."
            )
        )
        denylist.link.close()


def test_in_a_cluster_the_node_that_holds_the_deny_list_is_examined(terminal: Terminal, tmp_path: Path) -> None:
    with clusters.three_nodes() as cluster:
        denylist = RedisDenylist(connect(cluster.url, timeout_seconds=5))
        denylist.open(accept_existing=True)
        with cluster.node(cluster.holder("{denylist}:head")) as node:
            node.config_set("maxmemory-policy", "allkeys-lru")

        finding = examined(terminal, cluster.url, code=exits.REFUSED)["eviction"]

        assert finding["severity"] == "problem"
        # Neither settings nor users are replicated, and another node may hold the deny-list tomorrow.
        pasted(finding["mend"])
        for port in cluster.ports:
            with cluster.node(port) as node:
                assert node.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert examined(terminal, cluster.url, code=exits.REFUSED)["eviction"]["severity"] == "fine"

        with cluster.node(cluster.holder("{denylist}:head")) as node:
            node.execute_command(
                "ACL", "SETUSER", "few", "on", ">pass", "~{denylist}:*", *MINIMAL_ACL, "+cluster|slots"
            )
            node.execute_command("ACL", "SETUSER", "few", "-xread")
        for port in cluster.ports:
            with cluster.node(port) as node:
                node.execute_command("ACL", "SETUSER", "few", "on", ">pass", "+cluster|slots")
        url = cluster.url.replace("://", "://few:pass@")
        mend = examined(terminal, url, code=exits.REFUSED)["acl-needed"]["mend"]
        pasted(mend)
        for port in cluster.ports:
            with cluster.node(port) as node:
                assert "+xread" in str(node.execute_command("ACL", "LIST"))
        assert examined(terminal, url, code=exits.REFUSED)["acl-needed"]["severity"] == "fine"
        denylist.link.close()


def test_a_user_that_may_not_ask_a_cluster_for_its_map_is_told_so(terminal: Terminal) -> None:
    with clusters.three_nodes() as cluster:
        for port in cluster.ports:
            with cluster.node(port) as node:
                node.execute_command("ACL", "SETUSER", "few", "on", ">pass", "~{denylist}:*", *MINIMAL_ACL)
        url = cluster.url.replace("://", "://few:pass@")

        finding = examined(terminal, url, code=exits.UNAVAILABLE)["reach"]

        assert "CLUSTER SLOTS" in finding["what"]
        pasted(finding["mend"])
        assert examined(terminal, url, code=exits.REFUSED)["acl-needed"]["severity"] == "fine"


def pasted(line: str) -> None:
    """Run a line of the doctor as somebody does who pastes it into a shell."""
    require(shutil.which("redis-cli"), "redis-cli is not installed (Debian: apt-get install redis-tools)")
    done = subprocess.run(
        ["bash", "-euc", line.replace(" --askpass", "")], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, set(done.stdout.split())) == (0, {"OK"}), done.stdout + done.stderr
