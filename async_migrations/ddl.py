"""The statements: what SQLAlchemy's DDL compiler writes, and the few that it has no construct for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Sequence,
    Table,
)
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM, ExcludeConstraint
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, ExecutableDDLElement
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

NamedType: TypeAlias = ENUM | DOMAIN


class AddColumn(ExecutableDDLElement):
    """ALTER TABLE ... ADD COLUMN, with the column as CREATE TABLE would write it.

    Args:
        column: of the models.
        filling: a DEFAULT for the rows that exist; the caller drops it again.
    """

    def __init__(self, column: Column[Any], filling: ClauseElement | None = None) -> None:
        self.column = column
        self.filling = filling


@compiles(AddColumn, "postgresql")
def _add_column(element: AddColumn, compiler: DDLCompiler, **_: Any) -> str:
    specification = compiler.process(CreateColumn(element.column))
    default = ""
    if element.filling is not None:
        # The clauses of a column come in any order, so that a DEFAULT may stand last.
        written = compiler.sql_compiler.process(element.filling, include_table=False, literal_binds=True)
        default = f" DEFAULT ({written})"
    return f"ALTER TABLE {compiler.preparer.format_table(element.column.table)} ADD COLUMN {specification}{default}"


class DropDefault(ExecutableDDLElement):
    """ALTER TABLE ... ALTER COLUMN ... DROP DEFAULT, in the heirs of the table, too."""

    def __init__(self, column: Column[Any]) -> None:
        self.column = column


@compiles(DropDefault, "postgresql")
def _drop_default(element: DropDefault, compiler: DDLCompiler, **_: Any) -> str:
    table = compiler.preparer.format_table(element.column.table)
    return f"ALTER TABLE {table} ALTER COLUMN {compiler.preparer.format_column(element.column)} DROP DEFAULT"


class CreateIndexHere(CreateIndex):
    """CREATE INDEX inside a transaction, where `postgresql_concurrently` cannot be honoured."""


@compiles(CreateIndexHere, "postgresql")
def _create_index_here(element: CreateIndexHere, compiler: DDLCompiler, **_: Any) -> str:
    statement: str = compiler.process(CreateIndex(element.element))
    return statement.replace(" INDEX CONCURRENTLY ", " INDEX ", 1)


def add_constraint(constraint: Constraint) -> AddConstraint:
    """Return the ALTER TABLE that adds `constraint`.

    SQLAlchemy marks a constraint that was once added so; in the next database of the same process it
    would then be missing from a CREATE TABLE.
    """
    rule = constraint._create_rule  # noqa: SLF001 - AddConstraint overwrites it, and has no public way not to
    statement = AddConstraint(constraint)
    constraint._create_rule = rule  # noqa: SLF001 - as above
    return statement


def add_constraint_text(dialect: Dialect, table: Table, constraint: Constraint) -> str:
    """Return the ALTER TABLE that would add `constraint`, one of a column's own definition too, to show it."""
    written = dialect.ddl_compiler(dialect, None).process(constraint)  # type: ignore[arg-type]  # see applies
    return f"ALTER TABLE {dialect.identifier_preparer.format_table(table)} ADD {written}"


def applies(dialect: Dialect, constraint: Constraint) -> bool:
    """Whether `constraint` shall exist here: `ddl_if`, and types that bring their own CHECK."""
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # as the dialect itself calls it
    rule = constraint._create_rule  # noqa: SLF001 - see add_constraint
    if isinstance(constraint, ForeignKeyConstraint):
        constraint._create_rule = None  # noqa: SLF001 - see is_set_apart
    applies = constraint._should_create_for_compiler(compiler)  # noqa: SLF001 - the compiler's own question
    constraint._create_rule = rule  # noqa: SLF001 - see add_constraint
    return bool(applies)


def is_set_apart(constraint: ForeignKeyConstraint) -> bool:
    """Whether an earlier create_all closed a circle with `constraint`, so that CREATE TABLE leaves it out for ever."""
    return constraint._create_rule is not None  # noqa: SLF001 - see add_constraint


def index_applies(connection: Connection, index: Index) -> bool:
    """Whether `ddl_if` lets `index` exist here."""
    return bool(CreateIndex(index)._should_execute(index, connection))  # type: ignore[no-untyped-call]  # noqa: SLF001 - as create_all asks


def plain_name(dialect: Dialect, item: Constraint | Index) -> str | None:
    """Return the name that the compiler would give, unquoted: naming convention applied, cut to length.

    None if PostgreSQL chooses the name, or if the convention asks for a name that the constraint has not.
    """
    if item.name is None:
        return None
    try:
        # The keyword is private in name only: Alembic has leaned on it for years.
        return dialect.identifier_preparer.format_constraint(item, _alembic_quote=False)
    except InvalidRequestError:
        return None


def conditions(dialect: Dialect, constraint: Constraint) -> str:
    """Return the SQL of a CHECK or EXCLUDE, its name aside; empty for other constraints."""
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # as the dialect itself calls it
    if isinstance(constraint, CheckConstraint):
        return str(compiler.sql_compiler.process(constraint.sqltext, include_table=False, literal_binds=True))
    if isinstance(constraint, ExcludeConstraint):
        return str(compiler.process(constraint)).partition(" USING ")[2]
    return ""


def sequences(metadata: MetaData) -> Iterable[Sequence]:
    """Return the sequences of the models that PostgreSQL needs; `optional` ones give way to SERIAL."""
    found = metadata._sequences.values()  # noqa: SLF001 - MetaData has no public list of them
    return [sequence for sequence in found if not sequence.optional]


def type_name(dialect: Dialect, type_: TypeEngine[Any]) -> str:
    """Return the quoted name of an enum or domain, its schema before it where it names one."""
    preparer: Any = dialect.identifier_preparer  # PostgreSQL's own, which knows types
    return str(preparer.format_type(type_))


def named_types(type_: TypeEngine[Any], dialect: Dialect) -> Iterator[NamedType]:
    """Return the enums and domains in a column's type, behind arrays, decorators and variants."""
    implementation = type_.dialect_impl(dialect)
    if isinstance(implementation, TypeDecorator):
        yield from named_types(implementation.impl_instance, dialect)
    elif isinstance(implementation, ARRAY):
        yield from named_types(implementation.item_type, dialect)
    elif isinstance(implementation, DOMAIN):
        yield from named_types(implementation.data_type, dialect)
        yield implementation
    elif isinstance(implementation, ENUM):
        yield implementation


def domain_of(type_: TypeEngine[Any]) -> DOMAIN | None:
    """Return the domain that a column's type is, behind decorators."""
    if isinstance(type_, TypeDecorator):
        return domain_of(type_.impl_instance)
    return type_ if isinstance(type_, DOMAIN) else None


def two_steps(dialect: Dialect, column: Column[Any]) -> list[str]:
    """Return what adds a NOT NULL column to a table with rows, with dots for the value of each row."""
    preparer = dialect.identifier_preparer
    table, name = preparer.format_table(column.table), preparer.format_column(column)
    final = _type_text(dialect, column, column.type)
    first = _type_text(dialect, column, _nullable(column.type.dialect_impl(dialect)) or column.type)
    statements = [f"ALTER TABLE {table} ADD COLUMN {name} {first}", f"UPDATE {table} SET {name} = ..."]
    if first != final:
        statements.append(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {final}")
    if not column.nullable:
        statements.append(f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL")
    return statements


def _nullable(type_: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """Return what a NOT NULL domain is made of: rows without a value cannot have the domain for a moment."""
    domain = domain_of(type_)
    if domain is None or not domain.not_null:
        return None
    return _nullable(domain.data_type) or domain.data_type


def _type_text(dialect: Dialect, column: Column[Any], type_: TypeEngine[Any]) -> str:
    return dialect.type_compiler_instance.process(type_, type_expression=column)


def is_serial(column: Column[Any]) -> bool:
    """Whether the compiler writes SERIAL for `column`, which draws its values from a sequence of its own."""
    default = column.default
    return (
        column.primary_key
        and column is column.table.autoincrement_column
        and (default is None or (isinstance(default, Sequence) and default.optional))
    )
