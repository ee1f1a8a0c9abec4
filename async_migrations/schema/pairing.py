"""Which thing of one side is which of the other; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class _Part(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def implicit(self) -> bool: ...


T = TypeVar("T", bound=_Part)


@dataclass(frozen=True, slots=True)
class Pairs(Generic[T]):
    """Constraints or indexes of one table.

    Attributes:
        equal: say the same, whatever they are called.
        changed: have the same name and say something else.
        removed: only live.
        added: only wanted.
    """

    equal: list[tuple[T, T]] = field(default_factory=list)
    changed: list[tuple[T, T]] = field(default_factory=list)
    removed: list[T] = field(default_factory=list)
    added: list[T] = field(default_factory=list)


def pair(live: Sequence[T], wanted: Sequence[T], same: Callable[[T, T], bool]) -> Pairs[T]:
    """Pair what says the same, by name first; a part whose name nobody chose is known by what it says.

    Args:
        live: parts of the live table.
        wanted: parts of the wanted table.
        same: whether a live and a wanted part say the same.
    """
    pairs: Pairs[T] = Pairs()
    here, there = list(live), list(wanted)
    steps: tuple[tuple[list[tuple[T, T]], Callable[[T, T], bool]], ...] = (
        (pairs.equal, lambda one, other: one.name == other.name and same(one, other)),
        (pairs.equal, lambda one, other: other.implicit and same(one, other)),
        (pairs.changed, lambda one, other: one.name == other.name),
        (pairs.equal, same),
    )
    for into, fits in steps:
        for other in list(there):
            found = next((one for one in here if fits(one, other)), None)
            if found is not None:
                into.append((found, other))
                here.remove(found)
                there.remove(other)
    pairs.removed.extend(here)
    pairs.added.extend(there)
    return pairs
