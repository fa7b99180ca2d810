"""HandleKinds: the claims of one's own by which tokens can be revoked, besides the built-in kinds of handle."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from revocation.errors import ConfigurationError
from revocation.handles import KINDS, UNCONDITIONAL_KINDS, Kind, is_own_kind

#: More kinds of one's own than this are a mistake: each costs every check a key.
MAX_OWN_KINDS: Final = 16

#: What other keys of the deny-list's namespace begin with.
RESERVED: Final = frozenset(
    [
        *(*KINDS, "app", "clock", "doctor", "everything", "follower", "followers", "head", "lasting", "log", "probe"),
        "signing",
    ]
)

_WORD = re.compile(r"([a-z][a-z0-9_-]*)(\*?)=(.+)")


@dataclass(frozen=True, slots=True)
class ClaimHandle:
    """The claims that name a handle, and whether revoking one is unconditional or takes back what is older than now.

    `"act.sub"` is the member `sub` of the claim `act`, unless a token has a claim of the whole name; where `act` is a
    list, it is that of each object in it. Of several claims, the first one that names anything counts.
    """

    claims: str | tuple[str, ...]
    unconditional: bool = False
    #: Each claim by its whole name, and by the members that lead to it.
    paths: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = (self.claims,) if isinstance(self.claims, str) else tuple(self.claims)
        object.__setattr__(self, "claims", names)
        object.__setattr__(self, "paths", tuple((name, tuple(name.split("."))) for name in names))


class HandleKinds:
    """The kinds of one's own that a process was told of: `{"org": "org_id", "device": ClaimHandle(...)}`.

    Every process of one deny-list is told of the same ones, and its head declares them: a process that was not told of
    a declared kind answers nothing, because it would accept what was revoked by it. Raises ConfigurationError for a
    name that is not 1 to 32 lower-case letters, digits, `_` and `-`, or that is taken.
    """

    __slots__ = ("_unconditional", "own", "words")

    def __init__(self, own: Mapping[str, str | tuple[str, ...] | ClaimHandle] | None = None) -> None:
        self.own: Mapping[Kind, ClaimHandle] = {
            checked_name(name): claim if isinstance(claim, ClaimHandle) else ClaimHandle(claim)
            for name, claim in (own or {}).items()
        }
        if len(self.own) > MAX_OWN_KINDS:
            raise ConfigurationError(f"there are at most {MAX_OWN_KINDS} kinds of one's own, not {len(self.own)}")
        for name, claim in self.own.items():
            names = [part for whole, path in claim.paths for part in (whole, *path)]
            if not names or not all(isinstance(part, str) and part for part in names):
                raise ConfigurationError(f"the handle {name!r} is named by a claim such as org_id or act.sub")
        #: The kinds as the head declares them, in order.
        self.words: tuple[str, ...] = tuple(
            sorted(word_of(name, unconditional=claim.unconditional) for name, claim in self.own.items())
        )
        self._unconditional = frozenset(name for name, claim in self.own.items() if claim.unconditional)

    @classmethod
    def parse(cls, text: str) -> "HandleKinds":
        """The kinds in a text such as `org=org_id,tid agent=act.sub device*=cnf.jkt`; `*`: unconditional.

        Raises ConfigurationError for any other text.
        """
        own: dict[str, ClaimHandle] = {}
        for part in text.split():
            word = _WORD.fullmatch(part)
            if word is None or word[1] in own:
                raise ConfigurationError(
                    f"kinds of handles are written as org=org_id device*=cnf.jkt, each once, and not as {part!r}"
                )
            own[word[1]] = ClaimHandle(tuple(word[3].split(",")), unconditional=bool(word[2]))
        return cls(own)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HandleKinds) and dict(self.own) == dict(other.own)

    def __hash__(self) -> int:
        return hash(self.words)

    def __bool__(self) -> bool:
        return bool(self.own)

    def __repr__(self) -> str:
        return f"HandleKinds({self.own!r})"

    @property
    def names(self) -> tuple[Kind, ...]:
        """All kinds: the built-in ones, then those of one's own."""
        return (*KINDS, *self.own)

    def is_unconditional(self, kind: Kind) -> bool:
        """Whether revoking a handle of this kind takes back everything under it. ValueError for a kind not known."""
        if kind not in KINDS and kind not in self.own:
            raise undeclared(kind, self.words)
        return kind in UNCONDITIONAL_KINDS or kind in self._unconditional


def checked_name(name: str) -> Kind:
    """The name of a kind of one's own; ConfigurationError where it cannot be one."""
    if not isinstance(name, str) or not is_own_kind(name) or name in RESERVED:
        raise ConfigurationError(
            f"{name!r} cannot be a kind of handle of your own: take 1 to 32 lower-case letters, digits, '_' and '-', "
            f"beginning with a letter, and none of {', '.join(sorted(RESERVED))}"
        )
    return name


def word_of(kind: Kind, *, unconditional: bool) -> str:
    """The kind as the head declares it."""
    return f"{kind}*" if unconditional else kind


def checked_words(words: Iterable[str]) -> tuple[str, ...]:
    """Kinds as the head declares them; ConfigurationError for what is none."""
    return tuple(word_of(checked_name(word.removesuffix("*")), unconditional=word.endswith("*")) for word in words)


def undeclared(kind: Kind, words: Iterable[str]) -> ValueError:
    """The error of whoever revokes by a kind that the deny-list does not declare."""
    known = ", ".join((*KINDS, *(word.removesuffix("*") for word in words)))
    return ValueError(
        f"the deny-list declares no kind {kind!r}; it knows {known}. Tell every process of a new one first, then run "
        "`revocation init --declare`."
    )
