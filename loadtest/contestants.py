"""The contestants: the same route in the same service, each with another way to decide who gets in."""

from typing import Final, get_args

from loadtest.results import Contestant

#: In the order in which they take turns.
NAMES: Final[tuple[Contestant, ...]] = get_args(Contestant)

#: Those that refuse what was taken back.
REVOCABLE: Final = frozenset[Contestant]({"session", "bounded", "strict", "jwt_extended", "introspection"})

#: `max_staleness` of the service. Contestants that do not ask the library have infinity: no follower runs in vain.
MAX_STALENESS: Final = {"bounded": "1.0", "strict": "0"}

#: The route that is protected, and what else a contestant serves for the load tests.
PATH: Final = "/loadtest"
SIGN_IN: Final = f"{PATH}/sign-in"
SIGN_OUT: Final = f"{PATH}/sign-out"
CATCH_UP: Final = f"{PATH}/catch-up"
CHECK: Final = f"{PATH}/check"
