"""CompactJws: a token as it was sent, taken apart once. Nobody has verified it yet."""

import json
import re
from binascii import a2b_base64
from typing import Any, Final

from revocation.errors import InvalidTokenError

#: Three parts of base64url and nothing else: no padding, no white space, no JWE, no JSON (RFC 8725bis, section 3.14).
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

#: The last characters of a part that leave no bit over, by what its length leaves when divided by four. Any other one
#: would be a second spelling of the same bytes; a part that leaves one character is no base64 at all.
_LAST_CHARACTERS: Final = {1: frozenset(""), 2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}


class CompactJws:
    """The parts of a token. Whoever reads them raises InvalidTokenError where they are not clean."""

    __slots__ = ("_claims", "_parts", "header_text", "text")

    def __init__(self, text: str) -> None:
        parts = _COMPACT_JWS.fullmatch(text)
        if parts is None:
            raise InvalidTokenError("malformed", "The token is not three parts of base64url.")
        self.text = text
        #: The header as it was sent, in base64url.
        self.header_text: str = parts[1]
        self._parts = parts
        self._claims: dict[str, Any] | None = None

    def header(self) -> dict[str, Any]:
        """The header's members."""
        return _strict_object(_decoded(self.header_text), "header")

    def claims(self) -> dict[str, Any]:
        """What the token says, true or not; parsed once."""
        if self._claims is None:
            self._claims = _strict_object(_decoded(self._parts[2]), "claims")
        return self._claims

    def signed(self) -> bytes:
        """The text that the signature is about (RFC 7515, section 5.2)."""
        return self.text[: self._parts.end(2)].encode("ascii")

    def signature(self) -> bytes:
        """The bytes of the signature."""
        return _decoded(self._parts[3])


def _decoded(part: str) -> bytes:
    """The bytes of base64url without padding; each has one spelling (RFC 7515, section 2; RFC 4648, section 3.5)."""
    rest = len(part) % 4
    if rest and part[-1] not in _LAST_CHARACTERS[rest]:
        raise InvalidTokenError("malformed", "The token is not base64url.")
    return a2b_base64(part.replace("-", "+").replace("_", "/") + "==")


def _strict_object(data: bytes, part: str) -> dict[str, Any]:
    """A JSON object in UTF-8 without duplicate names, NaN or lone surrogates (RFC 7519, section 4; RFC 8725, 3.7)."""
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        if b"\\u" in data:
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("malformed", f"The token's {part} cannot be read as one clean JSON object.") from error
    if not isinstance(parsed, dict):
        raise InvalidTokenError("malformed", f"The token's {part} must be a JSON object.")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
