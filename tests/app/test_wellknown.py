"""What clients and other verifiers discover: metadata (RFC 8414) and keys (RFC 7517), for each algorithm."""

import pytest

from revocation import KeySet, TokenVerifier
from tests.app.api import Api, prepared, settings_for
from tests.support.denylists import until
from tests.support.servers import Server

METADATA = "/.well-known/oauth-authorization-server"
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_the_metadata_name_every_endpoint_below_the_issuer(api: Api) -> None:
    answer = api.get(METADATA)

    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    issuer = api.settings.issuer
    body = answer.get_json()
    assert body.pop("issuer") == issuer
    assert {name: body.pop(name) for name in list(body) if name.endswith("_endpoint") or name == "jwks_uri"} == {
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
    }
    assert body["grant_types_supported"] == ["client_credentials", "refresh_token"]
    with_secret = ["client_secret_basic", "client_secret_post"]
    for name in ("token", "revocation"):
        assert body[f"{name}_endpoint_auth_methods_supported"] == [*with_secret, "none"]
    assert body["introspection_endpoint_auth_methods_supported"] == with_secret
    assert "response_types_supported" in body
    assert all(value for value in body.values()), "no array is empty: RFC 8414, section 3.2"


def test_every_endpoint_that_is_named_exists(api: Api) -> None:
    for name, url in api.get(METADATA).get_json().items():
        if name.endswith("_endpoint"):
            assert api.post(url.removeprefix(api.settings.issuer)).status_code in (400, 401), name
    assert api.get("/.well-known/jwks.json").status_code == 200


@pytest.mark.parametrize("tenant", ["tenant1", "a/b"])
def test_an_issuer_with_a_path_has_its_metadata_behind_the_well_known_part(
    valkey: Server, tmp_path_factory: pytest.TempPathFactory, tenant: str
) -> None:
    settings = settings_for(
        valkey, tmp_path_factory.mktemp("service"), APP_ISSUER=f"https://auth.example:8443/{tenant}"
    )
    with prepared(settings) as api:
        body = api.get(f"{METADATA}/{tenant}").get_json()
        assert body["issuer"] == settings.issuer
        assert body["token_endpoint"] == f"https://auth.example:8443/{tenant}/oauth/token"
        assert api.claims(api.login().access_token).issuer == settings.issuer
        for other in ("", "/elsewhere", f"/{tenant}/more", f"/{tenant.upper()}"):
            assert api.get(METADATA + other).status_code == 404


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_others_verify_our_tokens_with_what_the_key_document_says(
    valkey: Server, tmp_path_factory: pytest.TempPathFactory, algorithm: str
) -> None:
    settings = settings_for(valkey, tmp_path_factory.mktemp("service"), APP_ALGORITHM=algorithm)
    with prepared(settings) as api:
        token = api.login().access_token
        assert api.me(token) == 200

        answer = api.get("/.well-known/jwks.json")
        assert answer.mimetype == "application/jwk-set+json"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        (key,) = answer.get_json()["keys"]
        assert key["alg"] == algorithm
        assert key["use"] == "sig"
        assert not PRIVATE_MEMBERS & key.keys()
        elsewhere = TokenVerifier(
            KeySet.from_jwks(answer.get_json()), issuer=settings.issuer, audience=settings.audience
        )
        assert elsewhere.verify(token).key_id == key["kid"]


def test_a_shared_secret_signs_and_is_never_published(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"), APP_ALGORITHM="HS256")) as api:
        login = api.login()
        assert api.me(login.access_token) == 200
        assert api.logout(login.access_token).status_code == 200
        assert api.me(login.access_token) == 401

        assert api.get("/.well-known/jwks.json").get_json() == {"keys": []}


def test_another_algorithm_takes_over_and_tokens_of_the_old_one_stay_good(
    valkey: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("service")
    settings = settings_for(valkey, directory)
    with prepared(settings) as api:
        old = api.login("admin", "correct horse battery").access_token
    for file in settings.keys_dir.glob("*.pem"):
        file.rename(file.with_name("20200101T000000Z" + file.name[16:]))
    namespace = settings.revocation.namespace
    with prepared(settings_for(valkey, directory, APP_ALGORITHM="RS256", REVOCATION_NAMESPACE=namespace)) as api:
        new = api.login("admin", "correct horse battery").access_token
        keys = api.get("/.well-known/jwks.json").get_json()["keys"]

        assert (api.me(old), api.me(new)) == (200, 200)
        assert {key["alg"] for key in keys} == {"ES256", "RS256"}
        assert next(key["alg"] for key in keys if key["kid"] == api.claims(new).key_id) == "RS256"


@pytest.mark.parametrize("path", [METADATA, "/.well-known/jwks.json"])
def test_who_has_a_document_is_told_that_it_has_not_changed(api: Api, path: str) -> None:
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    another = api.get(path, headers={"If-None-Match": '"another"'})

    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    assert (another.status_code, another.data) == (200, first.data)


def test_a_new_key_is_a_new_document(api: Api) -> None:
    before = api.get("/.well-known/jwks.json").headers["ETag"]
    api.service.stores.keyring.rotate(keep_seconds=60)
    until(lambda: api.get("/.well-known/jwks.json", headers={"If-None-Match": before}).status_code == 200)
