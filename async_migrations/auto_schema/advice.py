"""What an author writes where auto schema must not guess: the code of the error, ready to paste."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Constraint, Dialect, Table
from sqlalchemy.schema import SetColumnComment, SetConstraintComment

from async_migrations import ddl
from async_migrations.auto_schema import constraints
from async_migrations.auto_schema.snapshot import LiveTable

NOTHING_FILLS = (
    "nothing says what they get: the column has no server default and no plain Python default (a function is for new "
    "rows)"
)


def unfillable_text(
    dialect: Dialect,
    reasons: Mapping[Column[Any], str],
    live: Mapping[Table, LiveTable],
    missing: Mapping[Table, Collection[Column[Any]]],
) -> str:
    """Say which columns cannot be filled, and write out what fills them.

    Args:
        dialect: how SQL is written.
        reasons: the columns, and why the rows that exist get nothing.
        live: what their tables have.
        missing: what their tables lack, these columns included; the others come with run().
    """
    which = "\n".join(
        f"The column {column.table.fullname}.{column.name} is NOT NULL, {column.table.fullname} has rows, and {reason}."
        for column, reason in reasons.items()
    )
    lines = [
        "auto = AutoSchemaMigration(self.engine, self.base)",
        "await auto.create_missing_tables()",
    ]
    for column, its_constraints in _in_turn(dialect, list(reasons), live, missing):
        # Where an earlier auto schema created the table, it has the column.
        lines.append(f"if {column.name!r} not in await auto.get_existing_columns({column.table.fullname!r}):")
        lines += [
            f"    await self.execute({statement!r})" for statement in _statements(dialect, column, its_constraints)
        ]
    lines.append("return await auto.run()")
    code = "\n".join(f"    {line}" for line in lines)
    return (
        f"{which}\nNothing was added. Give the column a server_default=, or add it in two steps: put this into "
        f"upgrade() in place of run():\n{code}\nwith the value of each row in place of the dots."
    )


def _in_turn(
    dialect: Dialect,
    columns: Sequence[Column[Any]],
    live: Mapping[Table, LiveTable],
    missing: Mapping[Table, Collection[Column[Any]]],
) -> Iterator[tuple[Column[Any], list[Constraint]]]:
    """Return each column with the constraints that can be added as soon as it is there."""
    for i, column in enumerate(columns):
        table = column.table
        there = {each.name for each in columns[: i + 1] if each.table is table}
        still_missing = {each.name for each in missing[table]} - there
        yield (
            column,
            [
                *column.constraints,
                *(
                    constraint
                    for constraint in constraints.concerning(dialect, table, [column])
                    if not constraints.is_taken(dialect, live[table], constraint)
                    and still_missing.isdisjoint(constraints.column_names(dialect, constraint))
                ),
            ],
        )


def _statements(dialect: Dialect, column: Column[Any], its_constraints: Sequence[Constraint]) -> Iterator[str]:
    yield from ddl.two_steps(dialect, column)
    if column.comment is not None:
        yield str(SetColumnComment(column).compile(dialect=dialect))
    for constraint in its_constraints:
        yield ddl.add_constraint_text(dialect, column.table, constraint)
        # create_all sets no comment on a constraint of a column's own definition.
        if constraint.comment is not None and constraint in column.table.constraints:
            yield str(SetConstraintComment(constraint).compile(dialect=dialect))
