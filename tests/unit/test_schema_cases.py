"""The corpora of schemas: what they are about, and that their cases can be looked at together."""

from collections import Counter

import pytest
from sqlalchemy import MetaData, create_mock_engine
from sqlalchemy.dialects import postgresql

from tests.schema_cases import Case
from tests.schema_cases.corpora import CHANGED, MOVED, UNCHANGED
from tests.support.grouped import grouped, is_movable, move

ALL_CHANGED = (*CHANGED, *MOVED)
EACH = pytest.mark.parametrize("corpus", [ALL_CHANGED, UNCHANGED], ids=["changed", "unchanged"])


@EACH
@pytest.mark.parametrize("version", [15, 16, 17, 18])
def test_each_case_is_looked_at_once_and_most_of_them_together(corpus: tuple[Case, ...], version: int) -> None:
    groups, alone = grouped(corpus, version)
    together = [case for group in groups for case in group.cases.values()]
    assert Counter(map(id, [*together, *alone])) == Counter(map(id, corpus))
    assert len(together) > 0.8 * len(corpus)


@EACH
def test_a_case_is_the_same_in_another_schema(corpus: tuple[Case, ...]) -> None:
    for case in filter(is_movable, corpus):
        for build in filter(None, (case.before, case.after)):
            moved = MetaData()
            move(case.metadata(build), moved, "c1")
            # SQLAlchemy names indexes after the schema, too.
            said = [each.replace("c1.", "").replace("ix_c1_", "ix_") for each in statements(moved)]
            assert sorted(said) == sorted(statements(case.metadata(build))), case


def statements(metadata: MetaData) -> list[str]:
    """Return what creates it."""
    said: list[str] = []
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    engine = create_mock_engine("postgresql://", lambda sql, *_, **__: said.append(str(sql.compile(dialect=dialect))))
    metadata.create_all(engine, checkfirst=False)
    return said


def test_the_corpus_of_changes_is_large_and_about_everything() -> None:
    assert len(CHANGED) >= 100
    assert len(ALL_CHANGED) >= 500
    assert {tag for case in ALL_CHANGED for tag in case.tags} >= TAGS


TAGS = {
    "check",
    "column",
    "comment",
    "compound",
    "computed",
    "default",
    "domain",
    "enum",
    "exclude",
    "fk",
    "identity",
    "index",
    "inheritance",
    "names",
    "naming conventions",
    "nullable",
    "options",
    "partition",
    "pk",
    "rename",
    "schema",
    "sequence",
    "table",
    "type",
    "unique",
}
