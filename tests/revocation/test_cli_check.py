"""`revocation check`: the step at which a token is refused, and the sentence that says why."""

import ast
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token

import revocation
from revocation import (
    ConflictError,
    Handle,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    KeySet,
    MissingTokenError,
    RedisDenylist,
    TokenIssuer,
)
from revocation.bearer import STATUS, Bearer
from revocation.cli import exits
from revocation.cli.explanation import REASONS, step_of
from revocation.cli.refusals import REFUSALS, refusal
from tests.adapters.scenarios import CALM, Cast, Scenario
from tests.support.certificates import certificates
from tests.support.command import Terminal
from tests.support.denylists import can_mint, opened, until
from tests.support.provider import providing
from tests.support.servers import Server, StartServer
from tests.support.tokens import AUDIENCE, ISSUER, Forge, encoded, key, pem, private_key


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    return opened(valkey.client(), namespace)


@pytest.fixture
def terminal(
    valkey: Server, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    (tmp_path / "first.pem").write_bytes(pem(private_key("ES256")))
    return Terminal(
        monkeypatch,
        capsys,
        REVOCATION_REDIS_URL=valkey.url,
        REVOCATION_NAMESPACE=namespace,
        REVOCATION_KEYS_DIR=str(tmp_path),
        REVOCATION_ISSUER=ISSUER,
        REVOCATION_AUDIENCE=AUDIENCE,
    )


@pytest.fixture
def forge() -> Forge:
    made = Forge()
    made.clock.advance(time.time() - made.clock())
    return made


def failed(document: Any) -> list[str]:
    return [step["step"] for step in document["steps"] if step["outcome"] == "failed"]


def test_a_good_token_passes_every_step(terminal: Terminal, denylist: RedisDenylist, forge: Forge) -> None:
    token = forge.token()

    done = terminal("check", "--json", stdin=f"{token}\n")

    assert done.code == exits.OK
    assert done.json["verdict"] == "accepted"
    assert {step["outcome"] for step in done.json["steps"]} == {"passed"}
    handles = [f"deny-list: {kind}" for kind in ("token", "session", "subject", "client", "key", "issuer")]
    assert [step["step"] for step in done.json["steps"]] == [*REASONS, "deny-list: epoch", *handles]
    assert "ACCEPTED" in terminal("check", "-", stdin=token).out
    assert terminal("check", token).code == exits.OK


Make = Callable[[Forge], str]

BAD: list[tuple[str, str, Make]] = [
    ("form", "malformed", lambda _: "not a token"),
    ("form", "too_long", lambda forge: forge.token(forge.claims(scope="x" * 9000))),
    ("header", "type", lambda forge: forge.token(header=forge.header(typ="JWT"))),
    ("header", "header", lambda forge: forge.token(header=forge.header(crit=["exp"]))),
    ("key", "unknown_key", lambda forge: forge.token(header=forge.header(kid="another"))),
    ("signature", "signature", lambda forge: forge.token(signing=private_key("ES256", "another"))),
    ("claims", "missing_jti", lambda forge: forge.token(forge.claims(jti=None))),
    ("claims", "claim_sub", lambda forge: forge.token(forge.claims(sub=7))),
    ("issuer", "issuer", lambda forge: forge.token(forge.claims(iss="https://evil.example"))),
    ("audience", "audience", lambda forge: forge.token(forge.claims(aud="https://other.example"))),
    ("lifetime", "lifetime", lambda forge: forge.token(forge.claims(exp=int(forge.clock()) + 10**6))),
    ("not before", "not_yet_valid", lambda forge: forge.token(forge.claims(nbf=int(forge.clock()) + 300))),
    (
        "issued at",
        "issued_in_future",
        lambda forge: forge.token(forge.claims(iat=int(forge.clock()) + 300, exp=int(forge.clock()) + 600)),
    ),
    (
        "expiry",
        "expired",
        lambda forge: forge.token(forge.claims(iat=int(forge.clock()) - 900, exp=int(forge.clock()) - 60)),
    ),
]


@pytest.mark.parametrize(("step", "reason", "make"), BAD, ids=[reason for _, reason, _ in BAD])
def test_a_bad_token_fails_at_its_step(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge, *, step: str, reason: str, make: Make
) -> None:
    token = make(forge)

    done = terminal("check", "--json", stdin=token)

    assert done.code == exits.REFUSED
    assert (done.json["verdict"], done.json["reason"]) == ("refused", reason)
    assert failed(done.json) == [step]
    names = [one["step"] for one in done.json["steps"]]
    outcomes = [one["outcome"] for one in done.json["steps"]]
    place = names.index(step)
    assert set(outcomes[:place]) <= {"passed"}
    assert set(outcomes[place + 1 :]) == {"not reached"}
    assert token not in done.out + done.err
    assert "REFUSED" in terminal("check", stdin=token).out


#: What the routes of the scenarios need.
_SCOPES = {"/me": "me", "/both": "me reports:read"}


def _replies() -> list[Scenario]:
    """Scenarios of the adapters that send one token: what they answer, `check` must answer."""
    return [
        scenario
        for scenario in CALM
        if scenario.source in ("none", "follower")
        and scenario.path in ("/me", "/both")
        and scenario.name != "two headers"
    ]


@pytest.mark.parametrize("scenario", _replies(), ids=lambda scenario: scenario.name)
def test_it_answers_as_every_adapter_does(
    terminal: Terminal, denylist: RedisDenylist, tmp_path: Path, scenario: Scenario
) -> None:
    cast = Cast()
    cast.forge.clock.advance(time.time() - cast.forge.clock())
    keys = tmp_path / "cast"
    keys.mkdir()
    for number, secret in enumerate(cast.secrets):
        (keys / f"{number}.secret").write_bytes(urlsafe_b64encode(bytes.fromhex(secret)))
    [(_, sent)] = [header for header in scenario.headers(cast) if header[0] == "Authorization"]

    done = terminal("check", "--keys-dir", str(keys), "--scope", _SCOPES[scenario.path], "--json", stdin=sent)

    if scenario.error is None:
        assert (done.json["verdict"], done.json["answer"]) == ("accepted", None)
        return
    wanted = Bearer().answer(scenario.error)
    assert done.json["answer"]["status"] == wanted.status
    assert done.json["reason"] == json.loads(wanted.body)["reason"]
    assert refusal(done.json["reason"]) is not None


def test_tokens_of_flask_jwt_extended_are_explained_as_well(
    terminal: Terminal, denylist: RedisDenylist, tmp_path: Path
) -> None:
    """They have the type JWT, no audience, and here no issuer and a number for a user."""
    app = Flask("made")
    app.config |= {"JWT_SECRET_KEY": "s" * 32}
    JWTManager(app)
    with app.app_context():
        token = create_access_token("7", additional_claims={"sub": 7})
    keys = tmp_path / "theirs"
    keys.mkdir()
    (keys / "one.secret").write_bytes(urlsafe_b64encode(b"s" * 32))
    terminal.env.pop("REVOCATION_AUDIENCE")
    arguments = ("check", "--flask-jwt-extended", "--keys-dir", str(keys))

    accepted = terminal(*arguments, stdin=token)
    denylist.revoke(Handle("subject", "7", issuer=ISSUER), reason="laptop stolen")
    refused = terminal(*arguments, stdin=token)

    assert accepted.code == exits.OK, accepted.out + accepted.err
    assert refused.code == exits.REFUSED
    assert "laptop stolen" in refused.out
    assert "flask-jwt-extended answers in its own words: 401" in refused.out
    assert "The adapters answer" not in refused.out
    assert terminal(*arguments, "--json", stdin=token).json["answer"] is None


def test_the_verdict_comes_last_and_the_answer_of_the_adapters_before_it(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge
) -> None:
    *_, answer, mend, verdict = terminal("check", "--scope", "no such", stdin=forge.token()).out.splitlines()

    assert answer == (
        'The adapters answer 403 Forbidden, WWW-Authenticate: Bearer realm="api", error="insufficient_scope", '
        """error_description="This needs the scope 'no such'.", scope="no such\""""
    )
    assert mend.startswith("To mend it: ")
    assert verdict == "REFUSED (insufficient_scope)."


def test_every_reason_that_an_adapter_answers_with_is_explained() -> None:
    errors = [one for one in vars(revocation.errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    answered = tuple(STATUS)
    slugs = {one.slug for one in errors if issubclass(one, answered) and not issubclass(one, InvalidTokenError)}
    of_tokens = {reason for reasons in REASONS.values() for reason in reasons} | {"revoked", "key_id", "claims"}

    assert REFUSALS.keys() == slugs | of_tokens
    assert refusal("missing_jti") is refusal("claim_sub") is REFUSALS["claims"]
    for error in (MissingTokenError(""), InvalidRequestError(""), InsufficientScopeError("x"), ConflictError("")):
        assert REFUSALS[error.slug].status == Bearer().answer(error).status


def test_a_reason_is_explained_without_a_token(terminal: Terminal) -> None:
    done = terminal("check", "--reason", "insufficient_scope")

    assert (done.code, done.out.count("\n")) == (exits.OK, 1)
    assert done.out.startswith("403 insufficient_scope: The token is good, and lacks")
    assert terminal("check", "--reason", "type", "--json").json["status"] == 401
    unknown = terminal("check", "--reason", "no such")
    assert unknown.code == exits.USAGE
    assert "missing_token" in unknown.err


@pytest.mark.parametrize("before", ["Bearer ", "bearer  ", "Authorization: Bearer ", "authorization:Bearer "])
def test_a_header_that_was_copied_whole_is_a_token(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge, before: str
) -> None:
    assert terminal("check", stdin=f"{before}{forge.token()}\n").code == exits.OK


def test_every_reason_of_the_verifier_has_its_step() -> None:
    """What is not among REASONS is about a single claim."""
    package = Path(revocation.__file__).parent
    raised = set()
    for module in ("verifier", "compact_jws", "errors"):
        for node in ast.walk(ast.parse((package / f"{module}.py").read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = ast.unparse(node.func)
                if name in ("InvalidTokenError", "super().__init__"):
                    raised.add(node.args[0].value)
    reasons = {reason for reason in raised if isinstance(reason, str) and reason.isidentifier()} - {"revoked"}

    assert reasons == {reason for step in REASONS.values() for reason in step}
    assert step_of("missing_jti") == step_of("claim_exp") == "claims"


@pytest.mark.parametrize("kind", ["token", "session", "subject", "client", "key", "issuer"])
def test_the_handle_that_is_revoked_is_named_with_who_and_why(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge, kind: Any
) -> None:
    claims = forge.claims()
    value = {"token": "jti", "session": "sid", "subject": "sub", "client": "client_id"}.get(kind)
    name = claims[value] if value else key().id if kind == "key" else ""
    made = denylist.revoke(Handle(kind, name, issuer=ISSUER), reason="laptop stolen", actor="grace").revocation
    assert made is not None

    done = terminal("check", "--json", stdin=forge.token(claims))

    assert done.code == exits.REFUSED
    assert done.json["reason"] == "revoked"
    assert failed(done.json) == [f"deny-list: {kind}"]
    seen = next(step["seen"] for step in done.json["steps"] if step["outcome"] == "failed")
    assert "by grace" in seen
    assert "laptop stolen" in seen
    assert f"revocation undo {made.id}" in seen


def test_a_token_from_before_the_epoch_fails_there(terminal: Terminal, denylist: RedisDenylist, forge: Forge) -> None:
    denylist.open(new_epoch=True)
    early = terminal("check", "--json", stdin=forge.token())
    until(lambda: can_mint(denylist))

    done = terminal("check", "--json", stdin=forge.token())

    assert early.code == exits.UNAVAILABLE
    assert failed(done.json) == ["deny-list: epoch"]


def test_a_token_that_only_the_tolerance_refuses_says_so(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge
) -> None:
    """Signed in again after "log out everywhere": good where `iat` is the time of Redis."""
    denylist.revoke(Handle("subject", "ada", issuer=ISSUER))
    issuer = TokenIssuer(KeySet([key()]), issuer=ISSUER, audience=AUDIENCE)
    token = issuer.issue("ada", session="s-1", issued_at=denylist.now_ms() / 1000 + 0.002)

    foreign, own = terminal("check", "--json", stdin=token), terminal("check", "--iat-tolerance", "0", stdin=token)

    assert failed(foreign.json) == ["deny-list: subject"]
    assert "--iat-tolerance" in foreign.out
    assert own.code == exits.OK


def test_a_good_token_without_an_answer_is_neither_accepted_nor_refused(
    terminal: Terminal, start_server: StartServer, forge: Forge
) -> None:
    server = start_server("valkey")
    opened(server.client(), "denylist")
    server.kill()

    done = terminal("check", "--json", stdin=forge.token(), REVOCATION_REDIS_URL=server.url)

    assert done.code == exits.UNAVAILABLE
    assert (done.json["verdict"], done.json["reason"]) == ("unknown", "denylist_unavailable")
    assert done.json["steps"][-1]["outcome"] == "unknown"


def test_what_was_not_said_is_asked_for_at_once(terminal: Terminal, forge: Forge) -> None:
    terminal.env = {name: value for name, value in terminal.env.items() if name.startswith("REVOCATION_RE")}

    done = terminal("check", stdin=forge.token())

    assert (done.code, done.out) == (exits.USAGE, "")
    for option in ("--keys-dir", "--jwks", "--issuer", "--audience"):
        assert option in done.err


def test_nothing_on_standard_input_is_said(terminal: Terminal, denylist: RedisDenylist) -> None:
    done = terminal("check", stdin=" \n")

    assert done.code == exits.USAGE
    assert "no token" in done.err


def test_keys_may_come_from_a_jwks_document(
    terminal: Terminal, denylist: RedisDenylist, forge: Forge, tmp_path: Path
) -> None:
    terminal.env.pop("REVOCATION_KEYS_DIR")
    document = tmp_path / "jwks.json"
    document.write_text(json.dumps(KeySet([key()]).public_jwks()))

    assert terminal("check", "--jwks", str(document), stdin=forge.token()).code == exits.OK

    document.write_text("[1]")
    assert terminal("check", "--jwks", str(document), stdin=forge.token()).code == exits.USAGE
    document.write_text("{")
    assert terminal("check", "--jwks", str(document), stdin=forge.token()).code == exits.USAGE


def test_claims_do_not_command_the_terminal(terminal: Terminal, denylist: RedisDenylist, forge: Forge) -> None:
    """Of a token that nobody signed, so that nothing about it was checked."""
    hostile = forge.claims(sub="\x1b]0;owned\x07", iss="[link=x]\u202e", aud=["\x9b2J"], exp=1e300, nbf=-1, iat="\r")
    token = forge.token(
        hostile, header=forge.header(kid="\x1b[31m", alg="ES256"), signing=private_key("ES256", "other")
    )

    for arguments in (("check",), ("check", "--json")):
        done = terminal(*arguments, stdin=token)
        assert done.code == exits.REFUSED
        assert set(done.out + done.err).isdisjoint("\x1b\x07\x9b\u202e\r")


@pytest.mark.parametrize(
    "text",
    [
        *("...", "a.b.c", "\udcff", "{}", "ey.ey.ey", f"{encoded([])}.{encoded([])}.x", "\x00"),
        f"{encoded('[' * 100_000)}.{encoded('{}')}.x",
        f"{encoded({'alg': 1})}.{encoded({'exp': True, 'iat': []})}.x",
    ],
)
def test_any_text_is_refused_and_none_is_a_traceback(terminal: Terminal, denylist: RedisDenylist, text: str) -> None:
    assert terminal("check", stdin=text).code == exits.REFUSED


@pytest.mark.parametrize("by", ["URL", "discovery"])
def test_the_keys_may_be_at_an_https_url(terminal: Terminal, denylist: RedisDenylist, tmp_path: Path, by: str) -> None:
    tls = certificates(tmp_path / "tls")
    with providing(tls=tls) as provider:
        jwks = {"URL": provider.jwks_url, "discovery": "discover"}[by]
        terminal.env.pop("REVOCATION_KEYS_DIR")
        terminal.env |= {"REVOCATION_ISSUER": provider.issuer, "REVOCATION_JWKS_CA_FILE": str(tls.authority)}

        done = terminal("check", "--json", stdin=provider.token({"aud": AUDIENCE}), REVOCATION_JWKS=jwks)
        assert done.json["verdict"] == "accepted"
        assert provider.fetches == 1
        assert terminal("check", "--jwks", "http://id.example/", stdin="x").code != exits.OK
