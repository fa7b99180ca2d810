"""Devices: signed tokens by which a device shows that it signed in to an account before.

Such a token opens nothing. Whoever has it has a bucket of their own for failures at this one account (see throttle.py),
so that strangers who guess at it cannot keep its owner out.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

#: How long a device is known after it signed in; each time that it does begins anew. No cookie may live longer.
DEVICE_SECONDS: Final = 400 * 86_400

_FORM = re.compile(r"([A-Za-z0-9_-]{16})\.([1-9]\d{0,11})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Devices:
    """Gives devices their tokens and reads them; nothing is stored here."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = hmac.digest(secret, b"device tokens", hashlib.sha256)
        self._clock = clock

    def token(self, account: str, device: str | None = None) -> str:
        """The token of a device that has just signed in to an account, under the id that it had there before."""
        id_, now = device or secrets.token_urlsafe(12), int(self._clock())
        return f"{id_}.{now}.{self._mac(account, id_, now)}"

    def read(self, token: str, *, account: str) -> str | None:
        """The id of the device that signed in to this account with this token; None for anything else."""
        match = _FORM.fullmatch(token)
        if match is None:
            return None
        id_, since = match[1], int(match[2])
        genuine = hmac.compare_digest(self._mac(account, id_, since), match[3])
        return id_ if genuine and since > self._clock() - DEVICE_SECONDS else None

    def _mac(self, account: str, device: str, since: int) -> str:
        text = f"{device}:{since}:{account}".encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, text, hashlib.sha256)).rstrip(b"=").decode()
