"""Rows of steps that broke a promise once, and the promise that each broke.

They are played before anything is drawn: what was seen once does not come back. The rows of one number are those of one
fault of the protocol's first edition; those under `second` broke what came after it, or would without one of its rules.
"""

from collections.abc import Mapping
from typing import Final

from tests.search.case import Case, Shape, Step

ALONE: Final = Shape()
PAIR: Final = Shape(nodes=2, copies=1)
MAJORITY: Final = Shape(nodes=3, copies=2, min_replicas=1)
GROWING: Final = Shape(nodes=4, copies=1, min_replicas=1)

# The numbers that `how` takes in rules.py.
_TOKEN, _SESSION, _SUBJECT, _KEY = 0, 1, 2, 4
_SERVICE, _STRICT, _API, _TIGHT = 0, 2, 3, 6
_RIGHT, _AHEAD_4, _BACK_4, _BACK_20, _AHEAD_1200, _BACK_1200, _AHEAD_DAY = 0, 7, 8, 9, 12, 13, 14
_SECONDS_3, _SECONDS_8, _SECONDS_75, _SECONDS_350, _SECONDS_900 = 3, 4, 6, 7, 8
_PREVIOUS = 2
_P0, _P1 = 0, 1
_ELECTED = 1


#: The first process alone has read that a key is revoked when the data are lost, and the other one opens the epoch.
_KEY_LOST: Final = (
    Step("start", how=_SERVICE),
    Step("beat_all"),
    Step("pause", _P1),
    Step("revoke", how=_KEY),
    Step("pause", _P1),
    Step("beat"),
    Step("flush"),
    Step("beat", _P1),
)


def _case(shape: Shape, *steps: Step) -> Case:
    return Case(shape, steps)


KNOWN: Final[Mapping[str, tuple[str, Case]]] = {
    "1: an isolated old primary refreshes, since its script wrote nothing": (
        "refresh",
        _case(
            MAJORITY,
            Step("refresh"),
            Step("beat_all"),
            Step("isolate"),
            Step("start", which=_ELECTED, how=_SERVICE),
            Step("revoke", _P1, how=_SUBJECT),
            Step("refresh", _P0, how=_PREVIOUS),
        ),
    ),
    "2: a revoked key is trusted after a flush and `init`": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("revoke", how=_KEY),
            Step("beat_all"),
            Step("flush"),
            Step("init", _P1),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("forge"),
            Step("beat_all"),
        ),
    ),
    "2: a revoked key is trusted after a restore and `init --new-epoch`": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("save"),
            Step("revoke", how=_KEY),
            Step("beat_all"),
            Step("restore"),
            Step("new_epoch", _P1),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("forge"),
        ),
    ),
    "2: a revoked key is trusted after the head was lost, and the log later": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("revoke", how=_KEY),
            Step("lose_head"),
            Step("init", _P1),
            Step("trim"),
            Step("start", how=_SERVICE),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("forge"),
            Step("beat_all"),
        ),
    ),
    "2: of eighty revoked keys some are dropped": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("revoke_keys"),
            Step("beat_all"),
            Step("flush"),
            Step("init", _P1),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("revoke_keys", _P1),
            Step("beat_all"),
            Step("flush"),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("forge", 0, 3),
            Step("forge", 0, 5),
        ),
    ),
    "3: undoing a second revocation of a key lifts the first": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("revoke", how=_KEY),
            Step("beat_all"),
            Step("flush"),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("revoke", _P1, how=_KEY),
            Step("undo", _P1),
            Step("beat_all"),
            Step("forge"),
        ),
    ),
    "4: an API without sessions revokes a subject, who refreshes later": (
        "refresh",
        _case(
            ALONE,
            Step("start", how=_API),
            Step("revoke", _P1, how=_SUBJECT),
            Step("time", how=_SECONDS_350),
            Step("refresh"),
        ),
    ),
    "5: Redis' clock steps back, and a revocation misses what is out": (
        "strict",
        _case(ALONE, Step("server_clock", how=_BACK_4), Step("revoke", how=_SUBJECT)),
    ),
    "5: Redis' clock steps back by more than the leeway": (
        "strict",
        _case(ALONE, Step("server_clock", how=_BACK_20), Step("revoke", how=_SUBJECT)),
    ),
    "5: Redis' clock is ahead for a moment, and a living token is dead already": (
        "strict",
        _case(
            ALONE,
            Step("server_clock", how=_AHEAD_1200),
            Step("revoke", how=_TOKEN),
            Step("server_clock", how=_RIGHT),
        ),
    ),
    "6: a demoted server vouches": (
        "strict",
        _case(
            PAIR,
            Step("beat_all"),
            Step("demote", how=1),
            Step("start", which=_ELECTED, how=_SERVICE),
            Step("revoke", _P1, how=_SUBJECT),
            Step("time", how=_SECONDS_3),
        ),
    ),
    "6: whoever was connected to a demoted server stays without an answer": (
        "availability",
        _case(PAIR, Step("demote", how=1), Step("heal")),
    ),
    "7: both sides of a partition satisfy a number of replicas that was a majority once": (
        "strict",
        _case(
            GROWING,
            Step("beat_all"),
            Step("join"),
            Step("isolate"),
            Step("start", which=_ELECTED, how=_SERVICE),
            Step("revoke", _P1, how=_SUBJECT),
        ),
    ),
    "8: enforced too early after a restart from an older snapshot": (
        "enforced",
        _case(
            ALONE,
            Step("save"),
            Step("start", how=_SERVICE),
            Step("beat_all"),
            Step("pause", _P1),
            Step("time", how=_SECONDS_75),
            Step("beat", _P1),
            Step("restore"),
            Step("revoke", _P0, how=_SUBJECT),
        ),
    ),
    "8: enforced too early after a flush": (
        "enforced",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("beat_all"),
            Step("flush"),
            Step("init", _P1),
            Step("time", how=_SECONDS_8),
            Step("revoke", _P1, how=_SUBJECT),
        ),
    ),
    "8: a bulk of which the first batch was lost is acknowledged": (
        "strict",
        _case(ALONE, Step("start", how=_STRICT), Step("revoke_over_loss", how=_SUBJECT)),
    ),
    "9: a session's issuer mints on, and is believed when the entry has ended": (
        "strict",
        _case(
            ALONE,
            Step("start", how=_API),
            Step("foreign"),
            Step("revoke", _P1, how=_SESSION),
            Step("time", how=_SECONDS_350),
            Step("foreign"),
        ),
    ),
    "10: expired claims that somebody else verified are accepted": (
        "expired",
        _case(ALONE, Step("time", how=_SECONDS_350), Step("check_expired")),
    ),
    "11: a junk line with an id of tomorrow closes the deny-list": (
        "availability",
        _case(ALONE, Step("junk", how=2), Step("revoke", how=_SUBJECT), Step("beat"), Step("flush"), Step("heal")),
    ),
    "11: a revocation while Redis' clock was a day ahead closes the deny-list": (
        "availability",
        _case(
            ALONE,
            Step("server_clock", how=_AHEAD_DAY),
            Step("revoke", how=_SUBJECT),
            Step("beat"),
            Step("server_clock", how=_RIGHT),
            Step("flush"),
            Step("heal"),
        ),
    ),
    "11: the clock of whoever notices closes the deny-list": (
        "availability",
        _case(
            ALONE,
            Step("process_clock", how=_AHEAD_1200),
            Step("flush"),
            Step("beat"),
            Step("heal"),
        ),
    ),
    "12: a batch with a key of another type is half written": ("half written", _case(ALONE, Step("half"))),
    "13: the same revocation twice is written twice": ("growth", _case(ALONE, Step("repeat"))),
    "13: the same session ended twice is written twice": ("growth", _case(ALONE, Step("end_session", how=1))),
    "14: a smaller margin in one process signs everyone out": (
        "refused without reason",
        _case(
            ALONE,
            Step("start", how=_TIGHT),
            Step("revoke_many", how=3),
            Step("beat_all"),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("time", how=5),
            Step("beat_all"),
            Step("foreign", 0, 1),
            Step("sign_in", 0, 1, 1),
            Step("revoke", _P1, how=_TOKEN),
            Step("sign_in", 0, 1, 1),
            Step("start", how=_SERVICE),
            Step("beat_all"),
        ),
    ),
    "second: Redis' clock was ahead while a token was minted": (
        "strict",
        _case(
            ALONE,
            Step("server_clock", how=_AHEAD_4),
            Step("sign_in"),
            Step("server_clock", how=_RIGHT),
            Step("revoke", how=_SUBJECT),
        ),
    ),
    "second: a lost head is opened anew by an API without sessions": (
        "availability",
        _case(ALONE, Step("start", how=_API), Step("beat_all"), Step("lose_head"), Step("beat", _P1), Step("heal")),
    ),
    "second: a loss is hidden by a floor that has passed what was lost": (
        "refresh",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("foreign"),
            Step("revoke", how=_TOKEN),
            Step("save"),
            Step("revoke", which=1, how=_SUBJECT),
            Step("beat"),
            Step("restore"),
            Step("time", how=_SECONDS_350),
            Step("time", how=_SECONDS_75),
            Step("foreign"),
            Step("revoke", _P1, how=_TOKEN),
            Step("beat"),
            Step("beat"),
            Step("refresh"),
        ),
    ),
    "second: an older epoch is back": (
        "strict",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("save"),
            Step("flush"),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("sign_in"),
            Step("revoke", how=_SUBJECT),
            Step("beat_all"),
            Step("restore"),
            Step("beat_all"),
        ),
    ),
    "second: a key that was revoked again is given back as well": (
        "key",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("revoke", how=_KEY),
            Step("beat_all"),
            Step("flush"),
            Step("init", _P1),
            Step("time", how=_SECONDS_3),
            Step("pause", _P0),
            Step("revoke", _P1, how=_KEY),
            Step("pause", _P0),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("undo", _P1),
            Step("beat_all"),
            Step("forge"),
        ),
    ),
    "second: Redis' clock was behind when a line was written, which is trimmed early": (
        "bounded",
        _case(
            ALONE,
            Step("time", how=_SECONDS_900),
            Step("time", how=_SECONDS_900),
            Step("sign_in"),
            Step("server_clock", how=_BACK_1200),
            Step("revoke", how=_SUBJECT),
            Step("server_clock", how=_RIGHT),
            Step("foreign"),
            Step("revoke", how=_TOKEN),
            Step("time", how=_SECONDS_3),
            Step("start", how=_SERVICE),
            Step("beat", _P1),
        ),
    ),
    "second: what outlives the log is read by who begins to follow later": (
        "bounded",
        _case(
            ALONE,
            Step("start", how=_STRICT),
            Step("foreign"),
            Step("revoke", _P1, how=_SESSION),
            Step("time", how=_SECONDS_350),
            Step("time", how=_SECONDS_75),
            Step("foreign", 0, 1),
            Step("revoke", _P1, how=_TOKEN),
            Step("start", how=_SERVICE),
            Step("foreign"),
            Step("beat", 2),
        ),
    ),
    "second: a session revoked twice within the hour is written twice": (
        "growth",
        _case(ALONE, Step("repeat", how=1)),
    ),
    "second: a session ended twice after its last token was dead is written twice": (
        "growth",
        _case(ALONE, Step("time", how=_SECONDS_350), Step("end_session", how=1)),
    ),
    "second: a follower that stood still misses a key whose line was trimmed": (
        "key",
        _case(
            ALONE,
            Step("revoke", how=_KEY),
            Step("time", how=_SECONDS_900),
            Step("forge"),
            Step("revoke", which=1, how=_SESSION),
            Step("beat"),
            Step("beat"),
        ),
    ),
    "second: a lost log is opened anew by an API without sessions": (
        "availability",
        _case(
            ALONE,
            Step("start", how=_API),
            Step("beat_all"),
            Step("revoke", how=_SUBJECT),
            Step("lose_log"),
            Step("beat", _P1),
            Step("beat", _P1),
            Step("heal"),
        ),
    ),
    "second: a follower leaves a demoted server, and strict checks go on over the connections of before": (
        "availability",
        _case(PAIR, Step("start", how=_SERVICE), Step("demote", how=2), Step("heal")),
    ),
    "second: a key is given back in an epoch that somebody opened who did not know it": (
        "key",
        _case(
            ALONE,
            *_KEY_LOST,
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("forge"),
            Step("beat_all"),
            Step("beat_all"),
        ),
    ),
    "second: a bulk of which the first batch was lost is acknowledged where nobody follows": (
        "strict",
        _case(
            ALONE,
            Step("start", how=_SERVICE),
            Step("pause", _P0),
            Step("pause", _P1),
            Step("time", how=_SECONDS_75),
            Step("revoke", how=_SUBJECT),
            Step("sign_in"),
            Step("revoke_over_loss", how=3),
        ),
    ),
    "second: keys that were given back are lost again before their follower has read them": (
        "key",
        _case(
            ALONE,
            *_KEY_LOST,
            Step("beat"),
            Step("beat"),
            Step("flush"),
            Step("beat_all"),
            Step("time", how=_SECONDS_3),
            Step("beat_all"),
            Step("forge"),
            Step("beat_all"),
            Step("beat_all"),
        ),
    ),
    "second: a new epoch does not end a cut-off that lies ahead in a follower": (
        "availability",
        _case(
            ALONE,
            Step("server_clock", how=_AHEAD_1200),
            Step("process_clock", how=_AHEAD_1200),
            Step("flush"),
            Step("beat"),
            Step("heal"),
        ),
    ),
}
