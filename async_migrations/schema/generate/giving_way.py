"""How keys and indexes give way to others: when, and with what leans on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate.constraint_source import creation, dropping
from async_migrations.schema.generate.context import KEYS, Context
from async_migrations.schema.generate.conversion import is_comparable
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Constraint, ConstraintKind, Index, Name, TableKind
from async_migrations.sql import quote_literal

_MARKED = """DO $$ DECLARE old pg_index; said text := obj_description(to_regclass({old}), 'pg_class'); BEGIN
SELECT * INTO old FROM pg_index WHERE indexrelid = to_regclass({old}) AND to_regclass({new}) IS NOT NULL;
IF old.indisreplident THEN ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}; END IF;
IF old.indisclustered THEN ALTER TABLE {table} CLUSTER ON {name}; END IF;
IF old.indexrelid IS NOT NULL AND said IS NOT NULL THEN
EXECUTE format('COMMENT ON INDEX %s IS %L', to_regclass({new}), said); END IF; END $$"""
"""Gives an index what no snapshot knows of the one before it; without its replica identity a table takes no UPDATE."""


def is_swapped(context: Context, it: d.ConstraintChanged) -> bool:
    """Whether a key can be put in another's place over an index that is built beside it."""
    kept = it.before.kind is it.after.kind and it.after.kind in KEYS and not context.is_partitioned(it.table)
    places = {(it.table, column) for column in (*it.before.columns, *it.after.columns)}
    return kept and not places & (context.converted | context.new_columns)


def goes_late(context: Context, it: d.ConstraintRemoved) -> bool:
    """Whether a unique constraint waits for the keys and indexes that may take its place."""
    if it.constraint.kind is not ConstraintKind.UNIQUE or context.is_partitioned(it.table):
        return False
    converted = {(it.table, column) for column in it.constraint.columns} & context.converted
    elsewhere = {each.index.name for each in context.of(d.IndexAdded) if each.table != it.table}
    taken = it.constraint.name in _new_names(context) | elsewhere
    return not (converted or taken) and any(_builds(context, it.table))


def is_at_once(context: Context, table: Name, index: Index) -> bool:
    """Whether an index goes in the transaction: it is in the way there, or cannot go concurrently."""
    taken = index.name in _new_names(context) and heir(context, table, index) is None
    return context.is_partitioned(table) or is_in_the_way(context, table, index) or taken


def is_in_the_way(context: Context, table: Name, index: Index) -> bool:
    """Whether an index leans on a column that is converted."""
    return any(owner == table and index.leans_on(column) for owner, column in context.converted)


def heir(context: Context, table: Name, index: Index) -> Constraint | None:
    """Return the new key that takes the name of an index of the same table, unless the index goes with its column."""
    if {(table, key.column) for key in index.keys} & context.dropped:
        return None
    found = (each.constraint for each in context.of(d.ConstraintAdded) if each.table == table)
    return next((each for each in found if each.name == index.name and each.kind in KEYS), None)


def ancestor(context: Context, it: d.IndexAdded) -> Constraint | None:
    """Return the unique constraint that leaves its name to a new index of the same table."""
    for each in context.of(d.ConstraintRemoved):
        if each.table == it.table and each.constraint.name == it.index.name and goes_late(context, each):
            return each.constraint  # type: ignore[no-any-return]  # of a difference that is looked up by its class
    return None


def marked(context: Context, table: Name, old: str, new: str) -> Group:
    """Return what gives an index the marks of the one that it replaces."""
    names = (quote_literal(context.sql_name(Name(table.schema, each))) for each in (old, new))
    here, there = names
    sql = _MARKED.format(old=here, new=there, table=context.sql_name(table), name=context.quote(new))
    return op("execute", sql)


def successor(context: Context, table: Name, columns: Iterable[str]) -> str | None:
    """Return the name of a new key or unique index of the same columns."""
    wanted = frozenset(columns)
    for each in context.of(d.ConstraintAdded):
        if each.table == table and each.constraint.kind in KEYS and frozenset(each.constraint.columns) == wanted:
            return str(each.constraint.name)
    for each in context.of(d.IndexAdded):
        if each.table == table and columns_of(each.index) == wanted:
            return str(each.index.name)
    return None


def columns_of(index: Index) -> frozenset[str] | None:
    """Return the columns for which a foreign key may lean on an index; None where it cannot."""
    plain = index.unique and index.where is None and all(key.column for key in index.keys)
    return frozenset(key.column or "" for key in index.keys) if plain else None


class Leaning:
    """The foreign keys that lean on a key, of tables that no model knows too: they go for a moment only.

    Attributes:
        off: what drops them.
        on: what makes them again, not looking at rows.
        remarks: what is to say about it.
    """

    def __init__(self, context: Context, table: Name, columns: frozenset[str] | None) -> None:
        self._context = context
        self._keys = () if columns is None else tuple(_leaning(context, table, columns))
        self.off = tuple(dropping(context, owner, key) for owner, key in self._keys)
        self.on = tuple(creation(context, owner, key, **self._unseen(owner)) for owner, key in self._keys)
        names = " and ".join(f"{key.name} of {owner}" for owner, key in self._keys)
        self.remarks = (f"What leans on it goes for a moment: {names}.",) if names else ()

    def back(self) -> Iterator[Step]:
        """Make them again on the way back, when all keys are as they were."""
        if self._keys:
            again = tuple(creation(self._context, owner, key) for owner, key in self._keys)
            yield Step(Stage.CONCURRENT, Phase.RELEASE_KEYS, (), again)

    def around(self) -> Iterator[Step]:
        """Look at the rows, beside running writes, and make them again on the way back."""
        yield from self.back()
        for owner, key in self._keys:
            if key.validated and self._unseen(owner):
                look = op("validate_constraint", key.name, owner.name, schema=self._context.schema(owner))
                yield Step(Stage.VALIDATE, Phase.VALIDATION, (look,))

    def _unseen(self, owner: Name) -> dict[str, bool]:
        """Return that rows are not looked at, which PostgreSQL cannot put off for a partitioned table."""
        table = self._context.standing.table(owner)
        return {} if table is not None and table.kind is TableKind.PARTITIONED else {"not_valid": True}


def leans_on_converted(context: Context, table: Name, key: Constraint) -> bool:
    """Whether a foreign key cannot stand while the type of one of its ends changes."""
    for change in context.of(d.ColumnTypeChanged):
        ends = (change.table == table and change.column in key.columns) or (
            change.table == key.target and change.column in key.target_columns
        )
        if ends and not is_comparable(change.before.stored, change.after.stored):
            return True
    return any(
        change.table == key.target and change.column in key.target_columns for change in context.of(d.ComputedChanged)
    )


def leans_on_going(context: Context, key: Constraint, *, early: bool) -> bool:
    """Whether a foreign key leans on a key that goes.

    Args:
        context: all differences.
        key: the foreign key.
        early: whether only those keys count that go in the transaction.
    """
    there = frozenset(key.target_columns)
    for it in context.operations:
        match it:
            case d.ConstraintChanged(table=table, before=before):
                late = is_swapped(context, it)
            case d.ConstraintRemoved(table=table, constraint=before):
                late = goes_late(context, it)
            case d.IndexChanged(table=table, before=before) | d.IndexRemoved(table=table, index=before):
                late = not is_at_once(context, table, before)
            case _:
                continue
        if table == key.target and _key_columns(before) == there and not (early and late):
            return True
    return False


def _key_columns(it: Constraint | Index) -> frozenset[str] | None:
    if isinstance(it, Index):
        return columns_of(it)
    return frozenset(it.columns) if it.kind in KEYS else None


def _leaning(context: Context, table: Name, columns: frozenset[str]) -> Iterator[tuple[Name, Constraint]]:
    gone = {each.table.name for each in context.of(d.TableRemoved)}
    touched = {(each.table, each.constraint.name) for each in context.of(d.ConstraintRemoved)}
    touched |= {(each.table, each.before.name) for each in context.of(d.ConstraintChanged)}
    for owner in context.standing.tables:
        wanted = (
            {each.name: each for each in context.tables[owner.name].constraints} if owner.name in context.tables else {}
        )
        for key in owner.constraints:
            if (
                key.target != table
                or frozenset(key.target_columns) != columns
                or owner.name in gone | context.repartitioned
            ):
                continue
            away = leans_on_converted(context, owner.name, key) or leans_on_going(context, key, early=True)
            if (owner.name, key.name) not in touched and not away:
                yield owner.name, wanted.get(key.name, key)


def _builds(context: Context, table: Name) -> Iterator[bool]:
    yield from (True for each in context.of(d.IndexAdded) if each.table == table)
    yield from (True for each in context.of(d.ConstraintAdded) if each.table == table and each.constraint.kind in KEYS)


def _new_names(context: Context) -> frozenset[str]:
    """Return the names that something new takes in the transaction, or that is built before keys go."""
    names: list[str] = []
    for each in context.of(d.TableAdded):
        names += [each.table.name.name, *(one.name for one in (*each.table.indexes, *each.table.constraints))]
    names += [each.constraint.name for each in context.of(d.ConstraintAdded)]
    names += [each.sequence.name.name for each in context.of(d.SequenceAdded)]
    names += [each.after for each in context.of(d.ConstraintRenamed)]
    return frozenset(names)
