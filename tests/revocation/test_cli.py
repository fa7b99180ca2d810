"""The command `revocation`: revoke, list, show, undo, watch, stats, init."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path

import pytest
import redis

from revocation import EmbeddedServer, Handle, RedisDenylist, RevocationSettings, connect
from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.terminal import span
from revocation.redis.embedded import socket_path
from tests.support.command import PROGRAM, Terminal, environment, spawn
from tests.support.denylists import SESSION, SUBJECT, all_pages, opened, until
from tests.support.processes import spawned
from tests.support.servers import Server, StartServer, binary
from tests.support.tokens import AUDIENCE, ISSUER, Forge, pem, private_key

NAMED = ("--kind", "subject", "--value", "ada", "--issuer", ISSUER)


@pytest.fixture
def client(any_server: Server) -> "redis.Redis":
    return any_server.client()


@pytest.fixture
def denylist(client: "redis.Redis", namespace: str) -> RedisDenylist:
    return opened(client, namespace)


@pytest.fixture
def terminal(
    any_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(
        monkeypatch,
        capsys,
        REVOCATION_REDIS_URL=any_server.url,
        REVOCATION_NAMESPACE=namespace,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "first.pem").write_bytes(pem(private_key("ES256")))
    return directory


@pytest.fixture
def trusted(keys: Path) -> tuple[str, ...]:
    return ("--keys-dir", str(keys), "--issuer", ISSUER, "--audience", AUDIENCE)


@pytest.fixture
def forge() -> Forge:
    made = Forge()
    made.clock.advance(time.time() - made.clock())
    return made


# Revoking


def test_the_module_is_the_command_and_says_its_version() -> None:
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (0, f"revocation {metadata.version('revocation')}\n")


def test_what_is_revoked_by_name_is_listed_shown_and_undone(terminal: Terminal, denylist: RedisDenylist) -> None:
    made = terminal("revoke", *NAMED, "--reason", "left the company", "--json").json["revocation"]
    listed = terminal("list", "--json").json["revocations"]
    shown = terminal("show", made["id"], "--json").json
    undone = terminal("undo", made["id"], "--reason", "came back")

    assert (made["kind"], made["value"], made["issuer"], made["reason"]) == (
        *("subject", "ada", ISSUER),
        "left the company",
    )
    assert made["actor"].startswith("operator ")
    assert listed == [made] == [shown]
    assert undone.code == exits.OK
    assert not all_pages(denylist)


def test_tables_say_the_same_as_json(terminal: Terminal, denylist: RedisDenylist) -> None:
    id_ = terminal("revoke", *NAMED, "--reason", "left", "--json").json["revocation"]["id"]

    for done in (terminal("list"), terminal("show", id_)):
        assert done.code == exits.OK
        assert all(word in done.out for word in (id_, "subject", "ada", "left"))


def test_an_act_is_told_in_one_line(terminal: Terminal, denylist: RedisDenylist) -> None:
    planned = terminal("revoke", *NAMED, "--dry-run")
    assert planned.out == (
        f"Would revoke subject ada of {ISSUER}: everything issued before now. It is not revoked so far. "
        "Nothing was changed.\n"
    )

    made = [terminal("revoke", *NAMED, "--reason", reason) for reason in ("first", "second")]
    [second, first] = [one.id for one in all_pages(denylist)]
    for done, id_ in zip(made, (first, second), strict=True):
        assert done.out.count("\n") == 1
        assert done.out.startswith(f"Revoked subject ada of {ISSUER}, issued before 2")
        assert done.out.endswith(f"To undo it: revocation undo {id_}\n")

    undone = terminal("undo", first)
    assert undone.out == (
        f"Undone: one revocation of subject ada of {ISSUER}, which stays revoked by {second}. "
        "The log keeps it, with who and why.\n"
    )
    assert terminal("undo", second).out.startswith(f"Undone: subject ada of {ISSUER} is not revoked any more.")


def test_a_value_that_was_typed_is_said_to_count_to_the_letter(terminal: Terminal, denylist: RedisDenylist) -> None:
    """A deny-list knows no users: `R11` where the user is `r11` is as good a value as any."""
    typed = terminal("revoke", "--kind", "subject", "--value", "R11", "--issuer", ISSUER)
    listed = terminal("revoke", "--file", "-", "--issuer", ISSUER, stdin="a\n")
    everybody = terminal("revoke", "--kind", "issuer", "--issuer", ISSUER, "--yes")

    assert "No deny-list knows whether subject R11 exists." in typed.err
    assert "revocation check" in typed.err
    assert listed.err == everybody.err == ""
    assert terminal("revoke", *NAMED, "--json").err == ""


def test_revoking_again_says_that_nothing_was_added(terminal: Terminal, denylist: RedisDenylist) -> None:
    session = ("revoke", "--kind", "session", "--value", "s-1", "--issuer", ISSUER)

    first, second = terminal(*session), terminal(*session)

    assert first.out.startswith("Revoked session s-1 of")
    assert second.out.startswith("Revoked already, so nothing was added: session s-1 of")


def test_what_is_not_there_is_not_shown_and_not_undone(terminal: Terminal, denylist: RedisDenylist) -> None:
    for command in ("show", "undo"):
        done = terminal(command, "1-1-00000000")
        assert (done.code, done.out) == (exits.REFUSED, "")
        assert "1-1-00000000" in done.err


def test_a_token_from_standard_input_is_revoked_also_when_it_has_expired(
    terminal: Terminal, denylist: RedisDenylist, trusted: tuple[str, ...], forge: Forge
) -> None:
    now = int(forge.clock())
    token = forge.token(forge.claims(jti="leaked", iat=now - 900, exp=now - 1))

    done = terminal("revoke", *trusted, stdin=f"{token}\n")

    assert done.code == exits.OK
    assert [(one.handle.kind, one.handle.value) for one in all_pages(denylist)] == [("token", "leaked")]
    assert token not in done.out + done.err


def test_a_kind_without_a_value_is_the_tokens_own(
    terminal: Terminal, denylist: RedisDenylist, trusted: tuple[str, ...], forge: Forge
) -> None:
    done = terminal("revoke", "--kind", "session", *trusted, stdin=forge.token(forge.claims(sid="s-9")))

    assert done.code == exits.OK
    assert [one.handle for one in all_pages(denylist)] == [Handle("session", "s-9", issuer=ISSUER)]


def test_a_token_that_nobody_signed_revokes_nothing(
    terminal: Terminal, denylist: RedisDenylist, trusted: tuple[str, ...], forge: Forge
) -> None:
    forged = forge.token(signing=private_key("ES256", "another"))

    done = terminal("revoke", *trusted, stdin=forged)

    assert done.code == exits.USAGE
    assert "signature" in done.err
    assert forged not in done.err
    assert not all_pages(denylist)


def test_a_token_without_a_session_has_none_to_revoke(
    terminal: Terminal, denylist: RedisDenylist, trusted: tuple[str, ...], forge: Forge
) -> None:
    done = terminal("revoke", "--kind", "session", *trusted, stdin=forge.token(forge.claims(sid=None)))

    assert done.code == exits.USAGE
    assert "no session" in done.err


def test_a_dry_run_changes_nothing(terminal: Terminal, denylist: RedisDenylist) -> None:
    before = denylist.head()

    named = terminal("revoke", *NAMED, "--dry-run", "--json")
    many = terminal("revoke", "--file", "-", "--issuer", ISSUER, "--dry-run", stdin="a\nb\n")

    assert named.json["handles"][0]["revoked_already"] == []
    assert "2 of kind token" in many.out
    assert denylist.head() == before


def test_a_dry_run_names_what_is_revoked_already(terminal: Terminal, denylist: RedisDenylist) -> None:
    revocation = denylist.revoke(SUBJECT).revocation
    assert revocation is not None

    assert terminal("revoke", *NAMED, "--dry-run", "--json").json["handles"][0]["revoked_already"] == [revocation.id]


def test_what_concerns_many_is_not_revoked_without_yes(terminal: Terminal, denylist: RedisDenylist) -> None:
    asked = terminal("revoke", "--kind", "issuer", "--issuer", ISSUER)
    assert asked.code == exits.USAGE
    assert "--yes" in asked.err
    assert not all_pages(denylist)

    assert terminal("revoke", "--kind", "issuer", "--issuer", ISSUER, "--yes").code == exits.OK
    assert [one.handle.kind for one in all_pages(denylist)] == ["issuer"]


@pytest.mark.parametrize(
    ("arguments", "env", "days"),
    [
        ((), {}, 30),
        (("--session-lifetime", str(40 * 86_400)), {}, 40),
        ((), {"REVOCATION_SESSION_LIFETIME": str(2 * 86_400)}, 2),
    ],
)
def test_an_entry_lasts_as_long_as_sessions_may_by_what_init_was_told(
    terminal: Terminal, client: "redis.Redis", arguments: tuple[str, ...], env: dict[str, str], days: int
) -> None:
    terminal.env["REVOCATION_NAMESPACE"] += "-own"
    day = 86_400_000

    assert terminal("init", "--accept-existing", *arguments, **env).code == exits.OK
    assert terminal("revoke", "--kind", "session", "--value", "s-1", "--issuer", ISSUER).code == exits.OK

    assert days * day < client.pttl(f"{{{terminal.env['REVOCATION_NAMESPACE']}}}:{SESSION.name}") < (days + 1) * day


# Many at once


def test_a_file_is_revoked_line_by_line(terminal: Terminal, denylist: RedisDenylist, tmp_path: Path) -> None:
    ids = [f"jti-{number}" for number in range(1500)]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join([*ids, "", *ids[:10], "  "]))

    done = terminal("revoke", "--file", str(file), "--issuer", ISSUER, "--json")

    assert done.code == exits.OK
    assert done.json["revoked"] == 1500
    found = all_pages(denylist, limit=500)
    assert {one.handle.value for one in found} == set(ids)
    assert {one.id for one in found} == set(done.json["ids"])


def test_a_file_with_one_bad_line_revokes_nothing(terminal: Terminal, denylist: RedisDenylist) -> None:
    done = terminal("revoke", "--file", "-", "--issuer", ISSUER, stdin=f"good\n{'x' * 300}\n")

    assert done.code == exits.USAGE
    assert "line 2" in done.err
    assert not all_pages(denylist)


def test_more_keys_than_can_be_revoked_are_refused(terminal: Terminal, denylist: RedisDenylist) -> None:
    denylist.revoke_many([Handle("key", f"key-{number}", issuer=ISSUER) for number in range(9_999)])

    done = terminal("revoke", "--kind", "key", "--file", "-", "--issuer", ISSUER, "--yes", stdin="one\nanother\n")

    assert done.code == exits.REFUSED
    assert "10000 keys" in done.err
    assert denylist.latest_cutoff([Handle("key", name, issuer=ISSUER) for name in ("one", "another")]) == 0


def test_a_file_that_is_cut_short_by_an_outage_says_how_far_it_came(
    terminal: Terminal, start_server: StartServer
) -> None:
    """The server has no room for all of them."""
    server = start_server("redis", "--maxmemory-policy", "noeviction")
    opened(server.client(), "denylist")
    server.client().config_set("maxmemory", server.client().info("memory")["used_memory"] + 1_300_000)
    values = "\n".join(f"{number}-{'x' * 200}" for number in range(20_000))

    done = terminal(
        *("revoke", "--file", "-", "--issuer", ISSUER),
        stdin=values,
        REVOCATION_REDIS_URL=server.url,
        REVOCATION_NAMESPACE="denylist",
    )

    assert done.code == exits.UNAVAILABLE
    assert "of 20000 are revoked for certain" in done.err
    assert done.out == ""


# Watching


def test_watch_tells_what_happens(denylist: RedisDenylist, terminal: Terminal) -> None:
    denylist.revoke(SESSION, reason="before")
    with spawn("watch", "--json", "--count", "2", env=terminal.env) as process:
        # Not before it looks: it begins at the end of the log.
        deadline = time.monotonic() + 60
        made = []
        while process.poll() is None and time.monotonic() < deadline:
            revocation = denylist.revoke(SUBJECT, reason="now").revocation
            assert revocation is not None
            denylist.undo(revocation.id, reason="not now")
            made.append(revocation.id)
            time.sleep(0.05)
        out, err = process.communicate(timeout=20)

    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == exits.OK
    assert err == ""
    assert {line["reason"] for line in lines} <= {"now", "not now"}
    assert {line["revocation_id"] for line in lines} <= set(made)
    assert len(lines) == 2


def test_watch_begins_with_what_the_log_holds_where_it_is_told_to(denylist: RedisDenylist, terminal: Terminal) -> None:
    revocation = denylist.revoke(SUBJECT, reason="left").revocation
    assert revocation is not None
    denylist.undo(revocation.id, reason="came back")

    done = terminal("watch", "--all", "--count", "2")

    first, second = done.out.splitlines()
    assert "revoke" in first
    assert "left" in first
    assert "undo" in second
    assert "subject ada" in second


def test_ctrl_c_ends_watch_quietly(denylist: RedisDenylist, terminal: Terminal) -> None:
    denylist.revoke(SUBJECT)
    with spawn("watch", "--all", "--json", env=terminal.env) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (exits.INTERRUPTED, "", "")


def test_a_reader_that_has_gone_ends_it_quietly(denylist: RedisDenylist, terminal: Terminal) -> None:
    for number in range(20):
        denylist.revoke(Handle("token", f"jti-{number}", issuer=ISSUER))
    for arguments in (("watch", "--all", "--json"), ("watch", "--all"), ("list",)):
        reading, writing = os.pipe()
        os.close(reading)
        with spawn(*arguments, env=terminal.env, stdout=writing) as process:
            os.close(writing)
            _, err = process.communicate(timeout=20)
        assert process.returncode == exits.BROKEN_PIPE
        assert "Error" not in err


def test_watch_outlives_an_outage(terminal: Terminal, start_server: StartServer) -> None:
    server = start_server("valkey")
    denylist = opened(server.client(), "denylist")
    denylist.revoke(SUBJECT, reason="before")
    env = {"REVOCATION_REDIS_URL": server.url}

    with spawn("watch", "--all", "--json", "--count", "2", env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["reason"] == "before"
        with server.paused():
            assert "Trying again" in process.stderr.readline()
        assert "It answers again" in process.stderr.readline()
        denylist.revoke(SESSION, reason="after")
        assert json.loads(process.stdout.readline())["reason"] == "after"
        assert process.wait(20) == exits.OK


# At a terminal


def test_a_token_that_is_typed_is_not_shown(
    terminal: Terminal, denylist: RedisDenylist, trusted: tuple[str, ...], forge: Forge
) -> None:
    """Standard input and error are a terminal: nothing that is typed there comes back."""
    token = forge.token()
    ours, theirs = pty.openpty()
    pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": theirs}
    command = [*PROGRAM, "check", *trusted]
    with spawned(command, env=environment(terminal.env), start_new_session=True, **pipes) as process:
        os.close(theirs)
        shown = b""
        while b"Token" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{token}\n".encode())
        out, _ = process.communicate(timeout=20)
        with contextlib.suppress(OSError):
            shown += os.read(ours, 10_000)
    os.close(ours)

    assert process.returncode == exits.OK
    assert token[:20].encode() not in shown + out.encode()


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 s"), (0.44, "0.4 s"), (59.7, "1 min"), (200, "3 min 20 s"), (7200, "2 h"), (200_000, "2 d 7 h")],
)
def test_a_span_is_written_in_the_units_that_matter(seconds: float, written: str) -> None:
    assert span(seconds) == written


# What can go wrong


def test_a_store_that_nothing_runs_on_is_named_and_not_started(terminal: Terminal, tmp_path: Path) -> None:
    terminal.env.clear()

    done = terminal("--data-dir", str(tmp_path), "list")

    assert done.code == exits.UNAVAILABLE
    assert str(tmp_path) in done.err
    assert "--data-dir" in done.err
    assert not list(tmp_path.iterdir())


def test_the_embedded_store_of_a_running_service_is_reached(terminal: Terminal) -> None:
    binary("valkey")
    terminal.env.clear()
    with tempfile.TemporaryDirectory(prefix="rv-") as name, EmbeddedServer(name).owned() as owned:
        assert owned
        opened(connect(f"embedded:{name}"), "denylist").link.close()

        made = terminal("--data-dir", name, "revoke", *NAMED, "--json")
        listed = terminal("list", "--json", REVOCATION_REDIS_URL=f"embedded:{name}")

        assert made.code == exits.OK
        assert listed.json["revocations"] == [made.json["revocation"]]


@pytest.mark.parametrize(
    ("url", "option", "directory"),
    [
        ("embedded", None, Path(".data")),
        ("embedded", Path("/srv/other"), Path("/srv/other")),
        ("embedded:/srv/data", None, Path("/srv/data")),
        ("embedded:/srv/data", Path("/srv/other"), Path("/srv/other")),
        ("redis://127.0.0.1:1/0", Path("/srv/other"), None),
    ],
)
def test_the_option_chooses_among_embedded_stores_only(url: str, option: Path | None, directory: Path | None) -> None:
    chosen = ChosenDenylist(directory=option, env={})
    chosen.settings = RevocationSettings(redis_url=url)

    assert chosen.directory == directory
    assert chosen.url == (f"embedded:{directory}" if directory else url)
    assert chosen.place == (f"unix://{socket_path(directory)}" if directory else url)


def test_memory_cannot_be_reached_from_here(terminal: Terminal) -> None:
    done = terminal("list", REVOCATION_REDIS_URL="memory")

    assert done.code == exits.USAGE
    assert "inside the process" in done.err


def test_every_wrong_setting_is_named_at_once(terminal: Terminal) -> None:
    done = terminal("list", REVOCATION_TIMEOUT="soon", REVOCATION_MARGN="1")

    assert (done.code, done.out) == (exits.USAGE, "")
    assert "REVOCATION_TIMEOUT" in done.err
    assert "did you mean REVOCATION_MARGIN" in done.err


def test_wrong_settings_do_not_keep_anybody_from_the_help(terminal: Terminal) -> None:
    done = terminal("revoke", "--help", REVOCATION_TIMEOUT="soon")

    assert done.code == exits.OK
    assert "Exit codes:" in done.out


def test_a_server_that_does_not_answer_is_no_answer(terminal: Terminal) -> None:
    done = terminal("list", REVOCATION_REDIS_URL="redis://user:s3cret@127.0.0.1:1/0")

    assert (done.code, done.out) == (exits.UNAVAILABLE, "")
    assert "s3cret" not in done.err
    assert "Traceback" not in done.err


def test_a_deny_list_that_was_never_opened_is_no_empty_list(terminal: Terminal) -> None:
    for command in (("list",), ("stats",), ("watch", "--all"), ("revoke", *NAMED)):
        done = terminal(*command)
        assert done.code == exits.UNAVAILABLE
        assert "revocation init" in done.err


def test_init_opens_it_once(terminal: Terminal) -> None:
    first, second = terminal("init"), terminal("init")

    assert first.code == second.code == exits.OK
    assert first.out.startswith("Opened:")
    assert second.out.startswith("Open already:")
    assert terminal("init", "--accept-existing", "--new-epoch").code == exits.USAGE


def test_a_deny_list_of_the_first_edition_is_told_in_words_and_taken_over(
    terminal: Terminal, client: "redis.Redis"
) -> None:
    terminal.env["REVOCATION_NAMESPACE"] += "-old"
    prefix = f"{{{terminal.env['REVOCATION_NAMESPACE']}}}:"
    client.set(f"{prefix}head", "1 abc 1700000000000 0-0 - 0 86400 key:auth:k1")
    client.set(f"{prefix}key:auth:k1", "* 1-0-0123abcd=*")
    named_key = ("--kind", "key", "--value", "k1", "--issuer", "auth", "--yes")

    reading = (("list",), ("stats",), ("watch",), ("watch", "--all"))
    for command in (*reading, ("revoke", *NAMED), ("init",), ("undo", "1-0-0123abcd")):
        done = terminal(*command)
        assert done.code in (exits.UNAVAILABLE, exits.USAGE)
        assert "revocation init --new-epoch" in done.err
    opening = terminal("init", "--new-epoch")
    assert (opening.code, opening.out.partition(":")[0]) == (exits.OK, "Opened")
    until(lambda: terminal("revoke", *named_key, "--json").code == exits.OK)

    assert [one["kind"] for one in terminal("list", "--json").json["revocations"]] == ["key", "key"]


def test_what_others_wrote_does_not_command_the_terminal(
    terminal: Terminal, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason by a writer that is less careful than this library."""
    with monkeypatch.context() as careless:
        careless.setattr("revocation.denylist.checked_note", lambda text: text)
        revocation = denylist.revoke(SUBJECT, reason="\x1b[2J[bold]gone[/bold]\u202e", actor="\x9b31m\x07").revocation
    assert revocation is not None

    for arguments in (("list",), ("show", revocation.id), ("watch", "--all", "--count", "1"), ("list", "--json")):
        done = terminal(*arguments)
        assert done.code == exits.OK
        assert set(done.out).isdisjoint("\x1b\x9b\x07\u202e")
        assert "[bold]gone[/bold]" in done.out


def test_stats_are_the_figures(terminal: Terminal, denylist: RedisDenylist) -> None:
    denylist.revoke(SUBJECT)
    denylist.revoke(SESSION)
    undone = denylist.revoke(Handle("token", "t-1", issuer=ISSUER)).revocation
    assert undone is not None
    denylist.undo(undone.id)

    figures = terminal("stats", "--json").json

    assert figures["revocations"]["total"] == 2
    assert figures["revocations"]["by_kind"] == {
        **dict.fromkeys(("token", "client", "key", "issuer"), 0),
        **dict.fromkeys(("subject", "session"), 1),
    }
    assert figures["log_entries"] == 4
    assert figures["epoch"]["id"] == denylist.head().epoch
    assert figures["followers"] == []
    assert "2 (1 session, 1 subject)" in terminal("stats").out


def test_stats_count_every_revocation_however_many_pages_they_fill(terminal: Terminal, denylist: RedisDenylist) -> None:
    denylist.revoke_many([Handle("token", f"t-{number}", issuer=ISSUER) for number in range(1_013)])
    denylist.revoke_many([Handle("session", f"s-{number}", issuer=ISSUER) for number in range(600)])

    assert terminal("stats", "--json").json["revocations"]["total"] == 1_613
    assert "1613 (1013 token, 600 session)" in terminal("stats").out


def test_stats_of_an_empty_list_are_noughts(terminal: Terminal, denylist: RedisDenylist) -> None:
    figures = terminal("stats", "--json").json

    assert (figures["revocations"]["total"], figures["log_entries"]) == (0, 0)


def test_what_was_revoked_in_bulk_is_undone_in_bulk(
    terminal: Terminal, denylist: RedisDenylist, tmp_path: Path
) -> None:
    jtis, ids = tmp_path / "jtis", tmp_path / "ids"
    jtis.write_text("# leaked on Monday\nt-1\n\n  t-2\n")
    made = terminal("revoke", "--file", str(jtis), "--issuer", ISSUER, "--json").json
    assert made["revoked"] == 2

    ids.write_text("\n".join(made["ids"]))
    undone = terminal("undo", "--file", str(ids), "--reason", "another list was meant")
    assert (undone.code, undone.out.partition(".")[0]) == (exits.OK, "Undone: 2 of 2 revocations")
    assert denylist.page().revocations == ()
    again = terminal("undo", *made["ids"], "--json")
    assert again.code == exits.REFUSED
    assert again.json == {"undone": [], "not_found": made["ids"]}
    assert terminal("undo").code == exits.USAGE
