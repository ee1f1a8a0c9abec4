"""Steps for schemas, enums, domains and sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import DOMAIN

from async_migrations import ddl
from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import LARGEST, given_options, type_node
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.conversion import using
from async_migrations.schema.generate.source import Group, Node, call, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import SQLALCHEMY, raw_type, type_source
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.snapshot import Domain, DomainCheck
from async_migrations.schema.snapshot import Sequence as SequenceValue
from async_migrations.schema.table import Name, SequenceOptions

NUMBERS = {"smallint": "sa.SmallInteger", "integer": "sa.Integer", "bigint": "sa.BigInteger"}


def schema_added(context: Context, it: d.SchemaAdded) -> Iterator[Step]:  # noqa: ARG001 - as its neighbours
    """Create a schema."""
    up = op("create_schema", it.schema, if_not_exists=True)
    yield Step(Stage.MAIN, Phase.SCHEMAS, (up,), (op("drop_schema", it.schema),))


def enum_added(context: Context, it: d.EnumAdded) -> Iterator[Step]:
    """Create an enum."""
    up, down = _create_enum(context, it.name, it.enum.labels), _drop(context, "enum", it.name)
    yield Step(Stage.MAIN, Phase.ENUMS, (up,), (down,))


def enum_removed(context: Context, it: d.EnumRemoved, stage: Stage) -> Iterator[Step]:
    """Drop an enum after its last user."""
    up, down = _drop(context, "enum", it.name), _create_enum(context, it.name, it.enum.labels)
    yield Step(stage, Phase.DROP_ENUMS, (up,), (down,))


def labels_changed(context: Context, it: d.EnumLabelsChanged, stage: Stage, after: Sequence[str]) -> Iterator[Step]:
    """Add labels, or make the type anew where that is not enough.

    Args:
        context: all differences.
        it: the difference.
        stage: LABELS where the next file uses what is added.
        after: the labels that it shall have.
    """
    name, own = it.name.name, context.schema(it.name)
    back = op("set_enum_values", name, [*it.before], schema=own)
    if [label for label in after if label in it.before] != [*it.before]:
        up: list[Group] = [op("set_enum_values", name, [*after], schema=own)]
        stage = Stage.MAIN
        yield from _defaults_away(context, it.name)
    else:
        up = [op("add_enum_value", name, label, **place, schema=own) for label, place in _additions(it.before, after)]
    yield Step(stage, Phase.CONVERT, tuple(up), (back,))


def domain_added(context: Context, it: d.DomainAdded) -> Iterator[Step]:
    """Create a domain."""
    up = tuple(_create_domain(context, it.domain, told=False))
    yield Step(Stage.MAIN, Phase.DOMAINS, up, (_drop(context, "domain", it.name),))


def domain_removed(context: Context, it: d.DomainRemoved, stage: Stage) -> Iterator[Step]:
    """Drop a domain after its last user."""
    down = tuple(_create_domain(context, it.domain, told=True))
    told = (it.domain.type, *(check.definition for check in it.domain.checks))
    yield Step(stage, Phase.DROP_DOMAINS, (_drop(context, "domain", it.name),), down, told=told)


def domain_changed(context: Context, it: d.DomainChanged) -> Iterator[Step]:
    """Alter a domain; one of another type or collation is made anew."""
    if {"type", "collation"} & {*it.parts}:
        yield _remade(context, it)
        return
    up, down = _altered(context, it.before, it.after, told=False), _altered(context, it.after, it.before, told=True)
    told = tuple(check.definition for check in it.before.checks)
    yield Step(Stage.MAIN, Phase.CONVERT, tuple(up), tuple(down), told=told)


def sequence_added(context: Context, it: d.SequenceAdded) -> Iterator[Step]:
    """Create a sequence."""
    sequence, own = it.sequence, context.schema(it.name)
    up = op("create_sequence", it.name.name, schema=own, **_options(sequence.options), **_owner(context, sequence))
    yield Step(Stage.MAIN, Phase.SEQUENCES, (up,), (_drop(context, "sequence", it.name),))


def sequence_removed(context: Context, it: d.SequenceRemoved, stage: Stage) -> Iterator[Step]:
    """Drop a sequence."""
    up, owned = _drop(context, "sequence", it.name), it.sequence.owner is not None
    if owned and it.sequence.owner in context.identities:
        return  # becoming an identity column takes it away
    yield Step(
        Stage.MAIN if owned else stage,
        Phase.FREED if owned else Phase.DROP_SEQUENCES,
        (up,),
        tuple(owned_again(context, it.sequence)) if owned else None,
        reason="how far the sequence has counted is known to nobody",
    )


def sequence_changed(context: Context, it: d.SequenceChanged) -> Iterator[Step]:
    """Alter a sequence."""
    up, down = _alterations(it.before, it.after), _alterations(it.after, it.before)
    names = (it.name.name,)
    own = context.schema(it.name)
    yield Step(
        Stage.MAIN,
        Phase.OWNERS,
        (op("alter_sequence", *names, schema=own, **up),),
        (op("alter_sequence", *names, schema=own, **down),),
    )


def owned_again(context: Context, sequence: SequenceValue) -> Iterator[Group]:
    """Create the sequence of a column that was serial, which goes on behind the highest number."""
    assert sequence.owner is not None  # noqa: S101 - asked only for those of columns
    table, column = sequence.owner
    own = context.schema(sequence.name)
    yield op(
        "create_sequence", sequence.name.name, schema=own, **_options(sequence.options), owned_by=(table.name, column)
    )
    yield op("restart_identity", table.name, column, schema=context.schema(table))


def _create_enum(context: Context, name: Name, labels: Sequence[str]) -> Group:
    return op("create_enum", name.name, [*labels], schema=context.schema(name))


def _drop(context: Context, kind: str, name: Name) -> Group:
    return op(f"drop_{kind}", name.name, schema=context.schema(name))


def _additions(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    there = list(before)
    for place, label in enumerate(after):
        if label in there:
            continue
        if place:
            last = there and there[-1] == after[place - 1]
            yield label, {} if last else {"after": after[place - 1]}
            there.insert(there.index(after[place - 1]) + 1, label)
        else:
            yield label, {"before": there[0]} if there else {}
            there.insert(0, label)


def _declared(context: Context, name: Name) -> DOMAIN[Any] | None:
    default = context.wanted.default_schema
    for table in context.words.tables.values():
        for column in table.columns:
            for found in ddl.named_types(column.type, context.words.dialect):
                if isinstance(found, DOMAIN) and Name(found.schema or default or "", found.name or "") == name:
                    return found
    return None


def _defaults_away(context: Context, name: Name) -> Iterator[Step]:
    """Drop the defaults that become other ones, since they may name a label that goes."""
    for change in context.of(d.DefaultChanged):
        if change.before is not None and context.column(change.table, change.column).type_name == name:
            schema = context.schema(change.table)
            up = op("alter_column", change.table.name, change.column, server_default=literal(None), schema=schema)
            yield Step(
                Stage.MAIN, Phase.RELEASE_DEFAULTS, (up,), _default_again(context, change), told=(change.before,)
            )


def _default_again(context: Context, change: d.DefaultChanged) -> tuple[Group, ...]:
    before = sql_node(change.before or "NULL")
    schema = context.schema(change.table)
    return (op("alter_column", change.table.name, change.column, server_default=before, schema=schema),)


def _create_domain(context: Context, domain: Domain, *, told: bool) -> Iterator[Group]:
    own, name = context.schema(domain.name), domain.name.name
    first, *others = domain.checks or (None,)
    options: dict[str, Any] = {"nullable": None if domain.nullable else False}
    options["server_default"] = _domain_default(context, domain, told=told)
    options["collation"] = _bare(domain.collation)
    if first is not None:
        options |= {"check": _condition(context, domain, first, told=told), "constraint_name": first.name}
    yield op("create_domain", name, _domain_type(context, domain, told=told), schema=own, **options)
    for check in others:
        yield op("create_domain_constraint", check.name, name, _checked(check), schema=own)


def _domain_type(context: Context, domain: Domain, *, told: bool) -> Node:
    declared = None if told else _declared(context, domain.name)
    return raw_type(domain.type) if declared is None else type_source(declared.data_type, context.words.dialect)


def _domain_default(context: Context, domain: Domain, *, told: bool) -> Any:
    if domain.default is None:
        return None
    declared = None if told else _declared(context, domain.name)
    if declared is None or declared.default is None:
        return sql_node(domain.default)
    return declared.default if isinstance(declared.default, str) else sql_node(context.words.sql(declared.default))


def _condition(context: Context, domain: Domain, check: DomainCheck, *, told: bool) -> str:
    declared = None if told else _declared(context, domain.name)
    if declared is None or declared.check is None or len(domain.checks) > 1:
        return _checked(check)
    return context.words.sql(declared.check)


def _checked(check: DomainCheck) -> str:
    inside = check.definition.removeprefix("CHECK ").strip()
    return inside[1:-1] if inside.startswith("(") and inside.endswith(")") else inside


def _bare(collation: str | None) -> str | None:
    return collation.rpartition(".")[2].strip('"') if collation else None


def _altered(context: Context, before: Domain, after: Domain, *, told: bool) -> Iterator[Group]:
    name, own = after.name.name, context.schema(after.name)
    here, there = {each.name: each for each in before.checks}, {each.name: each for each in after.checks}
    for check in before.checks:
        if there.get(check.name) != check:
            yield op("drop_domain_constraint", check.name, name, schema=own)
    changed: dict[str, Any] = {}
    if before.default != after.default:
        default = _domain_default(context, after, told=told)
        changed["server_default"] = literal(None) if default is None else default
    if before.nullable != after.nullable:
        changed["nullable"] = after.nullable
    if changed:
        yield op("alter_domain", name, **changed, schema=own)
    for check in after.checks:
        if here.get(check.name) != check:
            yield op(
                "create_domain_constraint", check.name, name, _condition(context, after, check, told=told), schema=own
            )


def _remade(context: Context, it: d.DomainChanged) -> Step:
    up = tuple(_replaced(context, it.before, it.after, told=False))
    down = tuple(_replaced(context, it.after, it.before, told=True))
    told = (it.before.type, *(check.definition for check in it.before.checks))
    return Step(Stage.MAIN, Phase.CONVERT, up, down, told=told)


def _replaced(context: Context, before: Domain, after: Domain, *, told: bool) -> Iterator[Group]:
    """Make a domain under its name, move its columns to it, and drop the old one."""
    name, own, away = after.name.name, context.schema(after.name), f"{after.name.name[:59]}_old"
    yield op("rename_domain", name, away, schema=own)
    yield from _create_domain(context, after, told=told)
    gone = {each.name for each in context.wanted.tables} & context.new_tables
    for table in context.wanted.tables:
        for column in table.columns:
            if (
                column.type_name == after.name
                and table.name not in gone
                and (table.name, column.name) not in context.new_columns
            ):
                cast = using(context.quote(column.name), before.type, after.type)
                node = type_node(context, table.name, column)
                schema = context.schema(table.name)
                yield op("alter_column", table.name.name, column.name, type_=node, postgresql_using=cast, schema=schema)
    yield op("drop_domain", away, schema=own)


def _options(options: SequenceOptions) -> dict[str, Any]:
    kind = {} if options.type == "bigint" else {"type_": call(NUMBERS[options.type], imports=SQLALCHEMY)}
    return kind | given_options(options)


def _owner(context: Context, sequence: SequenceValue) -> dict[str, Any]:
    if sequence.owner is None or sequence.owner[0] in context.new_tables:
        return {}
    return {"owned_by": (sequence.owner[0].name, sequence.owner[1])}


def _alterations(before: SequenceValue, after: SequenceValue) -> dict[str, Any]:
    """Return what `alter_sequence` has to say, every limit included once the type is another."""
    old, new = before.options, after.options
    found: dict[str, Any] = {}
    if old.type != new.type:
        found["type_"] = call(NUMBERS[new.type], imports=SQLALCHEMY)
    pairs = {
        "start": (old.start, new.start),
        "increment": (old.increment, new.increment),
        "minvalue": (old.minimum, new.minimum),
        "maxvalue": (old.maximum, new.maximum),
        "cache": (old.cache, new.cache),
        "cycle": (old.cycle, new.cycle),
    }
    found |= {name: now for name, (then, now) in pairs.items() if then != now}
    if old.type != new.type and new.maximum == LARGEST[new.type] and old.maximum == LARGEST[old.type]:
        found.pop("maxvalue", None)  # it goes with the type
    if before.owner != after.owner:
        found["owned_by"] = literal(None) if after.owner is None else (after.owner[0].name, after.owner[1])
    return found
