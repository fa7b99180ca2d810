"""Refusals: what each reason that an adapter answers with means, and what ends it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason in words. `status` is what every adapter answers with it, unless the words name another answer."""

    status: int
    meaning: str
    mend: str


_SIGN_IN = "sign in again, or refresh the token"
_OTHER_API = "ask the issuer for a token for this API; the settings of the API say which ones are good"

#: By the member `reason` of the answer, as logs and metrics name it too.
REFUSALS: Final[dict[str, Refusal]] = {
    "missing_token": Refusal(
        401,
        "The request carried no bearer token: it had no Authorization header or one of another scheme. No adapter "
        "looks into the query or the form, and only Flask with TokenCookies looks into a cookie.",
        "send `Authorization: Bearer TOKEN`, and see that no proxy takes the header away",
    ),
    "invalid_request": Refusal(
        400,
        "The request carried a token in its query or its form besides the one in its header; or, in Flask with "
        "TokenCookies, a cookie held the token and no header repeated the word of the other cookie (X-CSRF-TOKEN).",
        "send the token once; a page repeats the cookie's word in the header",
    ),
    "insufficient_scope": Refusal(
        403,
        "The token is good, and lacks a word of the scope that the route needs, or in Flask the role. The challenge "
        "names the scope. Capitals count.",
        "ask for a token with that scope; `revocation check --scope` tries a token against one",
    ),
    "denylist_unavailable": Refusal(
        503,
        "Redis had to be asked and gave no answer that counts: it is away, slow, a replica, out of memory or misses "
        "replicas, or the copy in the process is older than the route allows. The token may be as good as ever.",
        "run `revocation doctor`; the log of the process that answered says what it saw",
    ),
    "denylist_empty": Refusal(
        503,
        "Redis answers and knows no epoch: the deny-list was never opened there, or has lost its data.",
        "run `revocation init`; see that REVOCATION_REDIS_URL and REVOCATION_NAMESPACE are those of whoever revokes",
    ),
    "conflict": Refusal(
        409,
        "What was asked is forbidden by what stands in the deny-list: to undo what was merged with others, to revoke "
        "more keys than it holds, or to log out a token that names neither itself nor a session.",
        "the detail says which; revoking the user instead often does",
    ),
    "signing_key": Refusal(
        409,
        "The key signs now, or will soon: revoking it would refuse everybody who signs in.",
        "run `python -m app keys revoke`, or let the issuer sign with another key first",
    ),
    "too_long": Refusal(401, "The token is longer than a verifier reads.", "put less into the token"),
    "malformed": Refusal(
        401,
        "What was sent is no JWT in its one form: three parts of base64url, strict JSON. Two Authorization headers "
        "are such a text as well, and so are quotes or line breaks around a token.",
        "compare what was sent with what the issuer gave out, character by character",
    ),
    "header": Refusal(401, "The header of the token asks for something that nobody here understands.", _OTHER_API),
    "type": Refusal(
        401,
        "The token is of another type than access tokens here (`typ`), as ID tokens and refresh tokens are.",
        "send the access token; where the issuer calls it JWT: --type JWT, and token_types of the verifier",
    ),
    "unknown_key": Refusal(
        401,
        "No key with this id is known: another issuer signed it, or a key that is too new or was withdrawn.",
        "give the process the keys of the issuer; after a rotation it fetches a JWKS anew by itself",
    ),
    "algorithm": Refusal(401, "The token names another algorithm than its key is for.", _OTHER_API),
    "signature": Refusal(401, "The signature does not fit: the token was changed, or another key made it.", _SIGN_IN),
    "issuer": Refusal(401, "Another issuer made the token (`iss`). A slash in the end counts.", _OTHER_API),
    "audience": Refusal(401, "The token is for another API (`aud`).", _OTHER_API),
    "lifetime": Refusal(
        401,
        "The token lives longer than the deny-list would remember it (`exp` less `iat`).",
        "let the issuer make shorter ones, or raise REVOCATION_MAX_TOKEN_LIFETIME everywhere and run `revocation init "
        "--new-epoch`",
    ),
    "not_yet_valid": Refusal(401, "The token is not good yet (`nbf`).", "wait, or set the clocks of both hosts by NTP"),
    "issued_in_future": Refusal(
        401, "By this clock the token was made in the future (`iat`).", "set the clocks of both hosts by NTP"
    ),
    "expired": Refusal(401, "The token was good until its `exp`.", _SIGN_IN),
    "key_id": Refusal(
        401, "No revocation can name the key of the token by its id (`kid`).", "let the issuer name its keys plainly"
    ),
    "claims": Refusal(
        401,
        "A claim is missing or of another form than it must have; the reason names the claim. What cannot be revoked "
        "is not accepted: `jti`, `iat` and `exp` are needed (--no-jti where the issuer sends none).",
        "let the issuer put the claim into its tokens",
    ),
    "revoked": Refusal(
        401,
        "Somebody took the token back, or everything issued before a moment. flask-jwt-extended answers as its own "
        "revoked_token_loader says, and the MCP SDK with a 401 of its own.",
        "sign in again; `revocation check` with the token names who revoked it and why, and the undo",
    ),
}


def refusal(reason: str) -> Refusal | None:
    """What a reason means; None for a word that no adapter answers with."""
    return (
        REFUSALS["claims"]
        if reason.startswith(("missing_", "claim_")) and reason != "missing_token"
        else (REFUSALS.get(reason))
    )
