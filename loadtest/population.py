"""Population: users, each of whom asks with a token of its own until the token is replaced."""

import itertools
import random
from typing import Final, Literal, get_args

from loadtest.contestants import Setup

#: How many requests a token is used for before it is replaced. In `zipf` users differ: the k-th busiest asks a k-th as
#: often as the busiest, and no token is replaced while the requests last.
Mix = Literal["1", "5", "20", "100", "zipf"]
MIXES: Final[tuple[Mix, ...]] = get_args(Mix)

#: As many users as there are in `zipf`, for each hundred requests.
_ZIPF_USERS_PER_HUNDRED: Final = 20


class Population:
    """It makes tokens, which no two measurements share, and the order in which they are used."""

    def __init__(self, setup: Setup) -> None:
        self._issuer = setup.issuer
        self._denylist = setup.denylist
        self._random = random.Random(2026)
        self._users = itertools.count()

    def token(self) -> str:
        """The token of one more user."""
        return self._tokens(1)[0]

    def requests(self, mix: Mix, count: int) -> list[str]:
        """So many requests of this mix: the token of each, in the order in which they are made.

        All tokens are in use at the same time, so uses of one lie as far apart as they can.
        """
        if mix == "zipf":
            tokens = self._tokens(max(1, count * _ZIPF_USERS_PER_HUNDRED // 100))
            return self._random.choices(tokens, [1 / rank for rank in range(1, len(tokens) + 1)], k=count)
        uses = int(mix)
        requests = self._tokens(-(-count // uses)) * uses
        self._random.shuffle(requests)
        return requests[:count]

    def _tokens(self, count: int) -> list[str]:
        issued_at = self._denylist.now_ms() / 1000
        return [
            self._issuer.issue(f"user-{number}", session=f"{number:022d}", scope="reports:read", issued_at=issued_at)
            for number in itertools.islice(self._users, count)
        ]
