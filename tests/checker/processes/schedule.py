"""Which faults befall what, and when: drawn from a seed, written as text, read back from it. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PLANNED = re.compile(r"\A([a-z_]+):([a-z>-]+)@([0-9.]+)\+([0-9.]+)\Z")


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault of an episode: `after` seconds from its beginning, for `seconds`."""

    kind: str
    target: str
    after: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}@{self.after:g}+{self.seconds:g}"


Episode = tuple[Planned, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a kind of fault may befall, and for how long, in seconds."""

    targets: tuple[str, ...]
    shortest: float
    longest: float


def drawn(seed: int, choices: Mapping[str, Choice], episodes: int) -> list[Episode]:
    """Return episodes of two faults each that overlap. Every kind comes before any comes again."""
    chance = random.Random(seed)
    deck: list[str] = []
    schedule: list[Episode] = []
    for _ in range(episodes):
        kinds: list[str] = []
        while len(kinds) < 2:
            if not deck:
                deck = chance.sample(sorted(choices), len(choices))
            kinds.append(deck.pop())
        schedule.append(_episode(chance, kinds, choices))
    return schedule


def _episode(chance: random.Random, kinds: Sequence[str], choices: Mapping[str, Choice]) -> Episode:
    """Draw targets that have no part in common, so that healing one fault does not heal the other."""
    taken: set[str] = set()
    planned = []
    for kind in kinds:
        choice = choices[kind]
        free = [target for target in choice.targets if taken.isdisjoint(parts_of(target))] or list(choice.targets)
        target = chance.choice(free)
        taken |= parts_of(target)
        seconds = round(chance.uniform(choice.shortest, choice.longest), 1)
        planned.append(Planned(kind, target, round(chance.uniform(0.0, 0.8), 1), seconds))
    return tuple(planned)


def parts_of(target: str) -> set[str]:
    """Return the parts that a target names: one, or both ends of a link."""
    return set(target.split("->"))


def written(schedule: Sequence[Episode]) -> str:
    """Return the schedule as text: faults of an episode by commas, episodes by semicolons."""
    return ";".join(",".join(map(str, episode)) for episode in schedule)


def read(text: str) -> list[Episode]:
    """Return the schedule that was written as this text. Raises ValueError naming what it does not understand."""
    return [tuple(_planned(one) for one in episode.split(",")) for episode in text.split(";") if episode]


def _planned(text: str) -> Planned:
    found = _PLANNED.match(text.strip())
    if found is None:
        raise ValueError(f"not a fault: {text!r}; write kind:target@after+seconds")
    return Planned(found[1], found[2], float(found[3]), float(found[4]))
