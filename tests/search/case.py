"""Case: servers of a shape, and what happens on them, written down so that it can be played again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One rule, and the numbers that choose among what there is."""

    rule: str
    who: int = 0
    which: int = 0
    how: int = 0

    def __str__(self) -> str:
        return f'Step("{self.rule}", {self.who}, {self.which}, {self.how})'


@dataclass(frozen=True)
class Shape:
    """How many servers there are, how many of them are copies from the start, and for how many an answer waits."""

    nodes: int = 1
    copies: int = 0
    min_replicas: int = 0


@dataclass(frozen=True)
class Case:
    """A shape of servers and what happens on them."""

    shape: Shape
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = "".join(f"        {step},\n" for step in self.steps)
        return f"Case(\n    {self.shape},\n    (\n{lines}    ),\n)"
