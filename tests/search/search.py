"""Search: cases drawn from a seed, played on real servers, and made small where they break a promise."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.search.case import Case, Shape, Step
from tests.search.known import KNOWN
from tests.search.library import SETTINGS
from tests.search.node import StalledError
from tests.search.promise import ViolationError
from tests.search.rules import Rules
from tests.search.world import Stage, World

#: A case is made smaller for so long, at most.
_SHRINKING_SECONDS: Final = 60.0

_OPENINGS: Final = 20

#: So many cases may be given up because a server was too slow for them.
_STALLED_AT_MOST: Final = 3


@dataclass(frozen=True)
class Broken:
    """A promise that did not hold, what was seen, and after how many steps."""

    promise: str
    seen: str
    after: int


_SHAPES: Final = {
    Shape(): 16,
    Shape(nodes=2, copies=1): 5,
    Shape(nodes=3, copies=2, min_replicas=1): 2,
    Shape(nodes=4, copies=1, min_replicas=1): 1,
}

#: How often each rule is drawn, against the others.
_ALWAYS: Final = {"time": 6, "beat": 4, "beat_all": 8, "revoke": 8, "start": 2}
_OFTEN: Final = {
    "sign_in": 4,
    "refresh": 5,
    "foreign": 5,
    "forge": 6,
    "undo": 4,
    "pause": 2,
    "revoke_many": 2,
    "revoke_organisation": 4,
}
_SOMETIMES: Final = {
    "stop": 3, "revoke_given": 2, "revoke_keys": 4, "repeat": 2, "end_session": 2, "half": 1, "check_expired": 2,
    "process_clock": 4, "heal": 1, "init": 5, "junk": 2, "forget_scripts": 1, "restart": 1, "revoke_over_loss": 1,
    "declare": 1, "withdraw": 4,
}  # fmt: skip
_FAULTS: Final = {
    "server_clock": 5, "flush": 4, "lose_head": 3, "lose_log": 2, "trim": 3, "save": 5, "restart_empty": 2,
    "restore": 5, "new_epoch": 3,
}  # fmt: skip
_COPIES: Final = {"lag": 3, "demote": 4, "move": 4, "server_clock": 1}
_MAJORITY: Final = {"isolate": 5, "move": 2, "join": 3, "ask_cut_off": 2}

#: The numbers of a kind that a case revokes above all.
_KINDS_DRAWN: Final = (0, 1, 2, 3, 4, 4, 7)


def drawn(random_: random.Random, shape: Shape | None = None) -> Case:
    """A case from scratch, or one that was known, with other steps in between and other numbers."""
    chosen = shape or random_.choices(list(_SHAPES), list(_SHAPES.values()))[0]
    known = [case for _, case in KNOWN.values() if case.shape == chosen]
    weights = _weights(random_, chosen)
    favoured = random_.choice(_KINDS_DRAWN)

    def steps(count: int) -> list[Step]:
        names = random_.choices(list(weights), list(weights.values()), k=count)
        return [_step(random_, name, favoured) for name in names]

    if random_.random() < 0.5:
        starts = [_step(random_, "start", favoured) for _ in range(random_.choice((0, 1, 1, 2)))]
        return Case(chosen, (*starts, *steps(random_.choice((12, 25, 40))), Step("heal")))
    rows = random_.sample(known, k=min(len(known), random_.choice((1, 1, 2))))
    mixed: list[Step] = []
    for step in (step for row in rows for step in row.steps):
        mixed += steps(random_.choice((0, 0, 0, 0, 1, 2)))
        mixed.append(_step(random_, step.rule, favoured) if random_.random() < 0.1 else step)
    return Case(chosen, (*mixed, *steps(4), Step("heal")))


def _weights(random_: random.Random, shape: Shape) -> dict[str, int]:
    """Only some of the rules take part: rare rows of few rules are met more often so."""
    weights = _ALWAYS | _some(random_, _OFTEN, 0.6)
    if shape.min_replicas:
        return weights | _MAJORITY
    weights |= _some(random_, _SOMETIMES, 0.25) | _some(random_, _FAULTS, 0.25)
    return weights | _COPIES if shape.copies else weights


def _step(random_: random.Random, rule: str, favoured: int) -> Step:
    """A step with numbers of its own; one kind is revoked above all."""
    how = random_.randrange(1024)
    if rule in ("revoke", "revoke_many", "revoke_over_loss") and random_.random() < 0.6:
        how += favoured - how % 8
    return Step(rule, random_.randrange(12), random_.randrange(60), how)


def _some(random_: random.Random, weights: Mapping[str, int], chance: float) -> dict[str, int]:
    return {name: weight for name, weight in weights.items() if random_.random() < chance}


def play(stage: Stage, case: Case) -> Broken | None:
    """The promise that this case breaks, if it does."""
    done = 0
    with stage.world(nodes=case.shape.nodes, min_replicas=case.shape.min_replicas) as world:
        try:
            rules = _begin(world, case.shape)
            for step in case.steps:
                done += 1
                world.advance(0.002)
                getattr(rules, step.rule)(step.who, step.which, step.how)
                world.ask_everything()
        except ViolationError as violation:
            return Broken(violation.promise, str(violation), done)
    return None


def _begin(world: World, shape: Shape) -> Rules:
    """One process opens the deny-list, follows it, and somebody signs in."""
    for node in world.nodes[1 : 1 + shape.copies]:
        node.follow(world.nodes[0])
        node.catch_up()
    first = world.start(SETTINGS[0], world.nodes[0])
    for _ in range(_OPENINGS):
        # On a busy machine a copy may be late with its first acknowledgement.
        if world.attempt(first, first.parts.init):
            break
        world.advance(1.5)
    else:
        raise StalledError(f"the deny-list does not open: {world.refusal}")
    world.advance(30.0)
    rules = Rules(world)
    rules.beat_all(0, 0, 0)
    rules.sign_in(0, 0, 0)
    return rules


def smaller(case: Case, is_broken: Callable[[Case], bool]) -> Case:
    """The case with every step left out that it can do without."""
    steps, size = list(case.steps), max(1, len(case.steps) // 2)
    deadline = time.monotonic() + _SHRINKING_SECONDS
    while time.monotonic() < deadline:
        before = len(steps)
        at = 0
        while at < len(steps) and time.monotonic() < deadline:
            fewer = steps[:at] + steps[at + size :]
            if is_broken(Case(case.shape, tuple(fewer))):
                steps = fewer
            else:
                at += size
        if size == 1 and len(steps) == before:
            break
        size = max(1, size // 2)
    return Case(case.shape, tuple(steps))


def broken_cases(
    stage: Stage, *, seed: int, seconds: float, counts: "Counts", shape: Shape | None = None
) -> Iterator[tuple[Case, Broken]]:
    """The cases that break a promise, as drawn, for as long as there is time."""
    random_, deadline = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < deadline:
        case = drawn(random_, shape)
        try:
            broken = play(stage, case)
        except StalledError:
            counts.stalled += 1
            if counts.stalled > _STALLED_AT_MOST:
                raise
            stage.clear()
            continue
        counts.cases += 1
        counts.steps += broken.after if broken else len(case.steps)
        if broken is not None:
            yield Case(case.shape, case.steps[: broken.after]), broken


def shrunk(stage: Stage, case: Case, broken: Broken) -> Case:
    """The smallest case that breaks the same promise."""

    def is_broken(smaller_: Case) -> bool:
        again = play(stage, smaller_)
        return again is not None and again.promise == broken.promise

    return smaller(case, is_broken)


@dataclass
class Counts:
    """How much was tried."""

    cases: int = 0
    steps: int = 0
    stalled: int = 0
