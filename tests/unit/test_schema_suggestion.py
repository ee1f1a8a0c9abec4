"""Which renames are probable, without a server."""

from hypothesis import given
from hypothesis import strategies as st

from async_migrations.schema import difference as d
from async_migrations.schema.snapshot import EnumType
from async_migrations.schema.suggestion import suggestions
from async_migrations.schema.table import Column, Computed, Name, Table

USERS = Name("public", "users")


def gone(name: str, type_: str = "text") -> d.ColumnRemoved:
    return d.ColumnRemoved(USERS, Column(name, type_))


def new(name: str, type_: str = "text") -> d.ColumnAdded:
    return d.ColumnAdded(USERS, Column(name, type_))


def renames(*operations: d.Difference) -> list[tuple[str, str, str]]:
    return [each.rename for each in suggestions(operations)]


def test_a_column_of_the_same_type_in_the_same_table_may_be_the_same() -> None:
    assert renames(gone("name"), new("full_name")) == [("column", "public.users.name", "full_name")]
    assert str(suggestions([gone("name"), new("full_name")])[0]) == "column public.users.name may be full_name now"


def test_another_type_or_another_table_is_another_column() -> None:
    assert renames(gone("name"), new("full_name", "integer")) == []
    elsewhere = d.ColumnAdded(Name("public", "orders"), Column("full_name", "text"))
    assert renames(gone("name"), elsewhere) == []
    computed = d.ColumnAdded(USERS, Column("full_name", "text", computed=Computed("'x'")))
    assert renames(gone("name"), computed) == []


def test_the_likeliest_pairs_come_together() -> None:
    found = renames(gone("first_name"), gone("zip"), new("zip_code"), new("given_name"))
    assert found == [
        ("column", "public.users.first_name", "given_name"),
        ("column", "public.users.zip", "zip_code"),
    ]


def test_a_table_with_most_of_its_columns_may_be_the_same_one_moved() -> None:
    columns = tuple(Column(name, "integer") for name in "abcde")
    before = Table(USERS, columns=columns)
    after = Table(Name("app", "people"), columns=(*columns[:4], Column("f", "integer")))
    assert renames(d.TableRemoved(before), d.TableAdded(after)) == [("table", "public.users", "app.people")]
    other = Table(Name("app", "people"), columns=columns[:2])
    assert renames(d.TableRemoved(before), d.TableAdded(other)) == []


def test_enums_and_labels_are_found_with_odd_names_in_quotes() -> None:
    old, now = EnumType(Name("public", "Old State"), ("a", "b")), EnumType(Name("public", "New State"), ("b", "a"))
    assert renames(d.EnumRemoved(old.name, old), d.EnumAdded(now.name, now)) == [
        ("type", 'public."Old State"', '"New State"')
    ]
    labels = d.EnumLabelsChanged(Name("public", "state"), ("new", "old one"), ("new", "old two"))
    assert renames(labels) == [("enum_value", 'public.state."old one"', '"old two"')]


NAMES = st.lists(st.text("abc_", min_size=1, max_size=5), unique=True, max_size=5)


@given(NAMES, NAMES)
def test_nothing_is_named_twice(old: list[str], now: list[str]) -> None:
    found = renames(*map(gone, old), *map(new, now))
    assert len({before for _, before, _ in found}) == len({after for _, _, after in found}) == len(found)
    assert len(found) == min(len(old), len(now))
