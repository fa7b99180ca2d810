"""RemoteKeys: a source of keys that an issuer publishes at a URL, and exchanges when it likes."""

import asyncio
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import Final

from revocation.discovery import jwks_url, parsed
from revocation.errors import ConfigurationError
from revocation.https import Https
from revocation.keys import Key, KeySet, read_jwks
from revocation.keys_pending import KeysPendingError

_log = logging.getLogger(__name__)

#: Between two fetches that tokens cause, and after one that failed, in seconds.
PAUSE_SECONDS: Final = 10.0

#: After how long the keys are read again, in seconds: what the issuer says (`Cache-Control`), within these bounds.
FRESH_SECONDS: Final = 300.0
SHORTEST_FRESH_SECONDS: Final = 60.0
LONGEST_FRESH_SECONDS: Final = 3600.0

#: Where nobody asked for so much longer, the keys are read before they are used, in seconds.
_IDLE_SECONDS: Final = 60.0

#: How long somebody waits for a fetch after one that failed, in seconds.
_PATIENCE_SECONDS: Final = 1.0

_SHOWN_CHARACTERS = 500

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,10})", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)


class RemoteKeys:
    """Gives the KeySet of a JWKS document at an https URL, or of the one to which an issuer's metadata leads.

    Give either the `url` of the document, or the `issuer`: then its metadata, which must name this issuer to the
    letter, says where the document is (OpenID Connect Discovery 1.0; RFC 8414).

    Whoever asks first waits for the first fetch. From then on the document is read again in the background, when the
    `Cache-Control` of the last answer says so: after 1 to 60 minutes, or 5 where it says nothing. A token with an
    unknown key makes this look at once, but at most every 10 s, whatever tokens say; whoever has such a token waits for
    that, for at most `timeout_seconds`, and nobody else does. Where a fetch fails, this logs the error, keeps the keys
    that it read before, and lets nobody wait for longer than a second until one has succeeded; before the first success
    there are no keys, and every token is refused as `unknown_key`.

    The thread of a fetch begins in the process that needs it, and ends with the fetch. Redirects are errors. `ca_file`
    names the authorities to trust in place of the system's; `proxy` (`http://host:port`) is asked to connect, and
    variables of the environment name none; `http_on_loopback` is for tests. Raises ConfigurationError for a URL that is
    not https, and asks nothing yet.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        issuer: str | None = None,
        timeout_seconds: float = 5.0,
        ca_file: str | Path | None = None,
        proxy: str | None = None,
        http_on_loopback: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._https = Https(
            timeout_seconds=timeout_seconds, ca_file=ca_file, proxy=proxy, http_on_loopback=http_on_loopback
        )
        name = url or issuer
        if name is None or (url and issuer):
            raise ConfigurationError("give RemoteKeys either the URL of a JWKS document, or the issuer")
        self._https.checked(name)
        self._name = name
        self._issuer = issuer
        #: Where the document is; None where the metadata has not said so, or may say something else by now.
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._keys = KeySet([])
        #: When to look again, and when not to use the keys without a look.
        self._due = self._overdue = -math.inf
        #: When a token caused the last fetch.
        self._caused_at = -math.inf
        self._fails = False
        self._left_out: frozenset[str] = frozenset()
        self._processes: dict[int, _Process] = {}

    def key_set(self) -> KeySet:
        """The keys to use now."""
        now = self._clock()
        if now >= self._due:
            if now >= self._overdue:
                self._wait_for(self._begin(), time.monotonic() + self._timeout_seconds)
            else:
                self._begin()
        return self._keys

    def refreshed(self) -> KeySet:
        """The keys after another look, unless a token caused the last one less than 10 s ago."""
        deadline = time.monotonic() + self._timeout_seconds
        # The issuer may have answered a fetch that is running before it had the key.
        self._wait_for(self._here().fetch, deadline)
        self._wait_for(self._begin(caused=True), deadline)
        return self._keys

    def _here(self) -> "_Process":
        pid = os.getpid()
        here = self._processes.get(pid)
        if here is None:
            if any(process.fetch is not None for process in self._processes.values()):
                # A fork inherits what a fetch has noted, and not the thread that would end it.
                self._caused_at = -math.inf
            here = self._processes.setdefault(pid, _Process())
        return here

    def _begin(self, *, caused: bool = False) -> "Future[None] | None":
        """The fetch that is running, or one that begins now; None where it is too soon for one."""
        here = self._here()
        with here.lock:
            if here.fetch is not None:
                if time.monotonic() < here.given_up_at:
                    return here.fetch
                # Nothing that is asked of a network here may take so long, but for a name server's answer.
                here.fetch = None
                self._note_failure(TimeoutError("the last fetch has not come to an end"))
            now = self._clock()
            # After a failure everybody keeps to the pause.
            if now < (self._caused_at + PAUSE_SECONDS if caused and not self._fails else self._due):
                return None
            fetch = here.fetch = Future()
            # Metadata and keys are two documents.
            here.given_up_at = time.monotonic() + 2 * self._timeout_seconds
            if now < self._overdue:
                # The keys are good enough for those who come meanwhile.
                self._due = now + PAUSE_SECONDS
            if caused:
                self._caused_at = now
        try:
            threading.Thread(target=self._run, args=(here, fetch), name="revocation-keys", daemon=True).start()
        except RuntimeError as error:
            self._note_failure(error)
            here.end(fetch)
        return fetch

    def _wait_for(self, fetch: "Future[None] | None", deadline: float) -> None:
        if fetch is None or fetch.done():
            return
        left = max(0.0, deadline - time.monotonic())
        if self._fails:
            # While the issuer does not answer, tokens with made-up keys would hold every thread for most of the time.
            left = min(left, _PATIENCE_SECONDS)
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise KeysPendingError(fetch, left)
        wait([fetch], left)

    def _run(self, here: "_Process", fetch: "Future[None]") -> None:
        """What the thread of a fetch does."""
        try:
            url = self._url or jwks_url(self._name, self._https)
            body, headers = self._https.get(url)
            document = parsed(body)
            with here.lock:
                # Whoever was given up may have read what has changed since.
                if here.fetch is fetch:
                    self._url = url
                    self._take(document, fresh_seconds=_fresh_seconds(headers))
        except Exception as error:  # noqa: BLE001 (whatever the other side sends, the keys of before stay)
            with here.lock:
                if here.fetch is fetch:
                    self._note_failure(error)
        finally:
            here.end(fetch)

    def _take(self, document: object, *, fresh_seconds: float) -> None:
        keys, left_out = read_jwks(document)
        for sentence in left_out:
            if sentence not in self._left_out:
                _log.warning("%s: %s", self._name, sentence)
        self._left_out = frozenset(left_out)
        # A verifier forgets the tokens that it has verified where the set is another one.
        if _published(keys) != _published(self._keys):
            self._keys = KeySet(keys)
        if self._fails:
            self._fails = False
            _log.warning("The keys at %s can be read again.", self._name)
        self._look_after(fresh_seconds)

    def _note_failure(self, error: Exception) -> None:
        if not self._fails:
            self._fails = True
            _log.error(
                "The keys at %s cannot be read; going on with the %d read before, and trying again every %g s: %s",
                self._name,
                len(self._keys),
                PAUSE_SECONDS,
                _in_one_line(error),
            )
        if self._issuer is not None:
            self._url = None
        self._look_after(PAUSE_SECONDS)

    def _look_after(self, seconds: float) -> None:
        now = self._clock()
        self._overdue = now + seconds + _IDLE_SECONDS
        self._due = now + seconds


class _Process:
    """What belongs to one process: a fork inherits neither a locked lock of another one nor a thread that waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: The fetch that is running.
        self.fetch: Future[None] | None = None
        #: When nobody waits for it any longer, nor for its end.
        self.given_up_at = -math.inf

    def end(self, fetch: Future[None]) -> None:
        with self.lock:
            if self.fetch is fetch:
                self.fetch = None
        fetch.set_result(None)


def _in_one_line(error: Exception) -> str:
    """What went wrong, in ASCII: an issuer's server may have had its say in it."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words.encode("ascii", "backslashreplace").decode()[:_SHOWN_CHARACTERS]


def _published(keys: "list[Key] | KeySet") -> dict[str, dict[str, str]]:
    return {key.id: key.public_jwk() for key in keys}


def _fresh_seconds(headers: Message) -> float:
    """For how long an answer is fresh (RFC 9111, section 4.2), within our bounds."""
    control = ", ".join(headers.get_all("Cache-Control", []))
    if _NOT_KEPT.search(control):
        return SHORTEST_FRESH_SECONDS
    found = _MAX_AGE.search(control)
    if found is None:
        return FRESH_SECONDS
    age = headers.get("Age", "")
    seconds = int(found[1]) - (int(age) if age.isdecimal() and len(age) < 10 else 0)  # noqa: PLR2004 (an int is enough)
    return min(max(seconds, SHORTEST_FRESH_SECONDS), LONGEST_FRESH_SECONDS)
