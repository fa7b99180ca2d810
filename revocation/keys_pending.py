"""KeysPendingError: keys are being fetched, and whoever needs them must not wait here."""

from concurrent.futures import Future

from revocation.errors import InvalidTokenError


class KeysPendingError(InvalidTokenError):
    """A source has to wait for keys, and an event loop runs in this thread, which must not wait.

    A guard waits in another way, and asks again. To everybody else it is a token whose key is not known.
    """

    def __init__(self, fetch: Future[None], seconds: float) -> None:
        #: Done when the source has looked.
        self.fetch = fetch
        #: The longest that anybody should wait for it.
        self.seconds = seconds
        super().__init__("unknown_key", "The key that signed the token is not known yet.")
