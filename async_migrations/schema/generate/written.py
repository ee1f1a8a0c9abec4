"""Writing migrations: a comparison's answer -> numbered files in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from async_migrations import drafts
from async_migrations.drafts import Draft
from async_migrations.schema import difference as d
from async_migrations.schema.answer import SchemaDifference
from async_migrations.schema.generate import files
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.plan import FilePlan, plan
from async_migrations.schema.generate.selection import followed
from async_migrations.schema.generate.words import Words, dialect_of


class WrittenMigrations(list[Path]):
    """The files that were written, in their order; `str()` lists them for people.

    Attributes:
        left_out: the differences that they do not follow, since something would be lost, or since they lean on others
            of which that is true.
        refused: those of them that PostgreSQL refuses whatever is allowed, mostly for the sake of what is not compared.
    """

    def __init__(
        self, paths: Iterable[Path], left_out: Iterable[d.Difference] = (), refused: Iterable[d.Difference] = ()
    ) -> None:
        super().__init__(paths)
        self.left_out = tuple(left_out)
        self.refused = tuple(refused)

    def __str__(self) -> str:
        lines = [f"Wrote {path}" for path in self] or ["Nothing was written."]
        for each in self.left_out:
            alone = each in self.refused
            reason = "PostgreSQL refuses it as things are" if alone else "something would be lost"
            lines.append(f"Left out, since {reason}: {each}")
        return "\n".join(lines)


def write(difference: SchemaDifference, directory: Path, slug: str, *, allow_destructive: bool) -> WrittenMigrations:
    """Write the migrations that follow a difference; see `SchemaDifference.write_migrations`."""
    live, wanted = difference.live, difference.wanted
    kept, left_out = followed(difference.operations, live, wanted, allow_destructive=allow_destructive)
    alone = followed(difference.operations, live, wanted, allow_destructive=True)[1]
    words = Words(difference.metadata, wanted, dialect_of(live.version))
    context = Context(kept, live, wanted, words, left_out, allow_destructive)
    plans = plan(context)
    texts = [
        Draft(title, partial(_text, drafts.sentence(slug), each, plans, left_out, alone))
        for title, each in zip(files.titles(slug, plans), plans, strict=True)
    ]
    return WrittenMigrations(drafts.write(directory, texts), left_out, alone)


def _text(
    sentence: str,
    each: FilePlan,
    plans: Sequence[FilePlan],
    left_out: Sequence[d.Difference],
    refused: Sequence[d.Difference],
    digits: str,
    _name: str,
) -> str:
    said = files.description(sentence, each, alone=len(plans) == 1)
    return files.text(digits, said, each, *((left_out, refused) if each is plans[-1] else ()))
