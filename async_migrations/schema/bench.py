"""The place of work of one comparison: the shadow, remembered or made anew, and questions to PostgreSQL about it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.schema import fingerprint
from async_migrations.schema.backwards import forms_of, undo
from async_migrations.schema.catalog import read_within
from async_migrations.schema.ddl import Step, types_of
from async_migrations.schema.forms import Address, Forms
from async_migrations.schema.live import Live
from async_migrations.schema.patience import answered
from async_migrations.schema.renaming import Renaming
from async_migrations.schema.scratch import Kind, Scratch, open_scratch
from async_migrations.schema.settle import Doubt, settle
from async_migrations.schema.shadow import Wish, create, snapshot, steps_of
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name

REMEMBERED = 8
"""How many shadows are remembered."""


@dataclass(slots=True)
class Shadow:
    """What a metadata gives, and what was found out about the texts in it.

    Attributes:
        snapshot: what it gives.
        forms: texts that mean the same.
        asked: doubts that were settled, either way.
        places: where the texts stand under old names, when things are renamed.
        place: the scratch place in which it was made.
        note: a sentence on the scratch place.
    """

    snapshot: Snapshot
    forms: Forms = field(default_factory=Forms)
    asked: set[tuple[Address, str, str]] = field(default_factory=set)
    places: Mapping[Address, tuple[Address, str]] = field(default_factory=dict)
    place: str = ""
    note: str | None = None


_shadows: OrderedDict[str, Shadow] = OrderedDict()


def forget() -> None:
    """Forget all shadows."""
    _shadows.clear()


class Bench:
    """One comparison's scratch place, opened when it is needed.

    Args:
        engine: of the live database.
        live: its side.
        wish: the metadata, and where it is meant to be.
        scratch_url: a database to use as the scratch place.
        deadline: seconds to wait for it, and for each of its answers.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        live: Live,
        wish: Wish,
        *,
        scratch_url: str | None,
        deadline: float,
    ) -> None:
        self._engine, self._live, self._wish = engine, live, wish
        self._scratch_url, self._deadline = scratch_url, deadline
        self._stack = AsyncExitStack()
        self._scratch: Scratch | None = None
        self._steps: Sequence[Step] | None = None
        self._compiled = False
        self._key: str | None = None
        self._backwards: Snapshot | None = None
        self._leaning = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.__aexit__(*error)  # type: ignore[arg-type]  # the three that a context manager gets

    async def shadow(self) -> Shadow:
        """Return what the metadata gives, from memory if it has not changed."""
        self._key = await self._remembered_as()
        if self._key is not None and self._key in _shadows:
            _shadows.move_to_end(self._key)
            return _shadows[self._key]
        scratch = await self._opened()
        with answered(self._deadline):
            shadow = Shadow(await snapshot(scratch, self._wish), place=str(scratch), note=scratch.note)
        if self._key is not None and self._is_lasting(scratch):
            self._remember(self._key, shadow)
        return shadow

    async def renamed(self, shadow: Shadow, renaming: Renaming) -> Shadow:
        """Return a shadow that also knows its texts as they print under the live schema's names."""
        key = f"{self._key}{[hint.written for hint in renaming.hints]}" if self._key else None
        if key is not None and key in _shadows:
            return _shadows[key]
        scratch = await self._opened()
        with answered(self._deadline):
            self._backwards = await self._undone(scratch, shadow, renaming)
        forms, places = forms_of(self._backwards, renaming)
        result = Shadow(shadow.snapshot, forms, places=places, place=shadow.place, note=shadow.note)
        if key is not None and self._is_lasting(scratch):
            self._remember(key, result)
        return result

    async def settle(self, shadow: Shadow, doubts: Sequence[Doubt], renaming: Renaming) -> bool:
        """Find out which of the doubts are none; return whether anything new was learnt.

        Args:
            shadow: learns the forms.
            doubts: texts that differ.
            renaming: what has another name in the live schema.
        """
        placed = [_placed(each, shadow) for each in doubts]
        new = [each for each in placed if (each.address, each.live, each.wanted) not in shadow.asked]
        if not new:
            return False
        scratch = await self._opened()
        with answered(self._deadline):
            if renaming.hints and self._backwards is None:
                self._backwards = await self._undone(scratch, shadow, renaming)
            known = self._backwards or await read_within(scratch.driver, scratch.place, scratch.translation)
            learnt = await settle(scratch.driver, new, _types(known), scratch.translation)
        shadow.forms = shadow.forms.joined(learnt)
        shadow.asked |= {(each.address, each.live, each.wanted) for each in new}
        return bool(learnt.known)

    @staticmethod
    async def _undone(scratch: Scratch, shadow: Shadow, renaming: Renaming) -> Snapshot:
        """Return what the shadow is under the live schema's names."""
        domains = frozenset(each.name for each in shadow.snapshot.domains)
        await undo(scratch.driver, renaming, domains, scratch.translation)
        return await read_within(scratch.driver, scratch.place, scratch.translation)

    async def _opened(self) -> Scratch:
        if self._scratch is None:
            scratch = await self._stack.enter_async_context(
                open_scratch(
                    self._engine,
                    self._live,
                    self._wish.place,
                    self._wish.schemas | self._wish.left,
                    scratch_url=self._scratch_url,
                    deadline=self._deadline,
                )
            )
            steps = await self._statements()
            with answered(self._deadline):
                self._leaning = await create(scratch, self._wish, steps, self._hand_made)
            self._scratch = scratch
        return self._scratch

    async def _hand_made(self) -> Sequence[str]:
        made = types_of(self._wish.metadata, await self._statements(), self._wish.place.default_schema)
        return await self._live.copies(made)

    async def _statements(self) -> Sequence[Step] | None:
        if not self._compiled:
            self._steps, self._compiled = await steps_of(self._wish), True
        return self._steps

    async def _remembered_as(self) -> str | None:
        """Return the name under which the shadow is remembered; None if it cannot be."""
        wish = self._wish
        place = wish.place
        facts = [place.default_schema, place.search_path, sorted(place.settings.items()), sorted(place.locale.items())]
        extensions = [[each.name, each.schema, each.version] for each in wish.extensions]
        flavour = json.dumps([place.version, place.default_schema, sorted(wish.translate.items(), key=str)])
        digest = fingerprint.recall(wish.metadata, flavour, wish.marks)
        if digest is None:
            steps = await self._statements()
            if steps is None:
                return None
            digest = fingerprint.note(wish.metadata, flavour, wish.marks, steps)
        return json.dumps([digest, place.version, facts, extensions, self._scratch_url], default=str)

    def _is_lasting(self, scratch: Scratch) -> bool:
        """Whether the shadow depends on nothing but the metadata and what its key names."""
        return scratch.kind is not Kind.SCHEMAS and not self._leaning

    @staticmethod
    def _remember(key: str, shadow: Shadow) -> None:
        _shadows[key] = shadow
        while len(_shadows) > REMEMBERED:
            _shadows.popitem(last=False)


def _placed(doubt: Doubt, shadow: Shadow) -> Doubt:
    """Return a doubt with the place and the words that it has under old names."""
    here, wanted = shadow.places.get(doubt.address, (doubt.here, doubt.wanted))
    return Doubt(doubt.address, here, doubt.live, wanted)


def _types(snapshot: Snapshot) -> dict[tuple[Name, str], str]:
    types = {(each.name, ""): _collated(each.type, each.collation) for each in snapshot.domains}
    for table in snapshot.tables:
        types |= {(table.name, each.name): _collated(each.type, each.collation) for each in table.columns}
    return types


def _collated(type_: str, collation: str | None) -> str:
    return f"{type_} COLLATE {collation}" if collation else type_
