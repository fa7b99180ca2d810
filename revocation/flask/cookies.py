"""TokenCookies: tokens in cookies, for pages, with a double submit against forged requests."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Final, Literal

from flask import Request, Response

from revocation.errors import InvalidRequestError, MissingTokenError

#: What changes nothing needs no proof of who made it (RFC 9110, section 9.2.1).
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class TokenCookies:
    """A token in a cookie that scripts cannot read, and beside it a word that they can.

    Browsers send cookies with requests that other sites make. So a request that may change something is let in only if
    its header repeats the word, which is made of the token: other sites can read neither, and whoever can plant cookies
    cannot make a word for the token of somebody else. A token in the Authorization header comes first and needs no
    word.
    """

    def __init__(
        self,
        *,
        name: str = "access_token",
        csrf_name: str = "csrf_access_token",
        csrf_header: str = "X-CSRF-TOKEN",
        path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        samesite: Literal["Strict", "Lax", "None"] = "Lax",
    ) -> None:
        self.name = name
        self.csrf_name = csrf_name
        self.csrf_header = csrf_header
        self._path = path
        self._domain = domain
        self._secure = secure
        self._samesite = samesite

    def set(self, response: Response, token: str, *, max_age_seconds: int | None = None) -> None:
        """Give the token to the browser; without an age both cookies end with its session."""
        for name, value, hidden in ((self.name, token, True), (self.csrf_name, self.word(token), False)):
            response.set_cookie(
                name,
                value,
                max_age=max_age_seconds,
                path=self._path,
                domain=self._domain,
                secure=self._secure,
                httponly=hidden,
                samesite=self._samesite,
            )

    def unset(self, response: Response) -> None:
        """Take both cookies back. Who has copied the token can use it until it is revoked or expires."""
        for name in (self.name, self.csrf_name):
            response.delete_cookie(
                name, path=self._path, domain=self._domain, secure=self._secure, samesite=self._samesite
            )

    def token_of(self, current: Request) -> str:
        """The token in a request's cookie.

        Raises MissingTokenError where there is none, and InvalidRequestError where the request may change something and
        does not repeat the word.
        """
        token = current.cookies.get(self.name)
        if not token:
            raise MissingTokenError("Send a bearer token in the Authorization header, or in the cookie.")
        sent = current.headers.get(self.csrf_header, "")
        if current.method not in _SAFE_METHODS and not hmac.compare_digest(
            sent.encode("utf-8", "surrogateescape"), self.word(token).encode()
        ):
            raise InvalidRequestError(
                f"Repeat the value of the cookie {self.csrf_name} in the header {self.csrf_header}: the token in a "
                "cookie does not say that your own page made this request."
            )
        return token

    @staticmethod
    def word(token: str) -> str:
        """What the page has to repeat for a token."""
        digest = hashlib.sha256(b"csrf " + token.encode("utf-8", "surrogatepass")).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
