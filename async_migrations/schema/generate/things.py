"""Steps for schemas, enums and sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import LARGEST, given_options
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.selection import is_made_anew
from async_migrations.schema.generate.source import Group, call, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import SQLALCHEMY
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.snapshot import Sequence as SequenceValue
from async_migrations.schema.table import Name, SequenceOptions

NUMBERS = {"smallint": "sa.SmallInteger", "integer": "sa.Integer", "bigint": "sa.BigInteger"}


def schema_added(context: Context, it: d.SchemaAdded) -> Iterator[Step]:
    """Create a schema, before something moves there; but after another has given up its name."""
    up = op("create_schema", it.schema, if_not_exists=True)
    given_up = any(it.schema == each.before for each in context.of(d.SchemaRenamed))
    yield Step(Stage.MAIN, Phase.SCHEMAS if given_up else Phase.PLACES, (up,), (op("drop_schema", it.schema),))


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
    if is_made_anew(it.before, after):
        up: list[Group] = [op("set_enum_values", name, [*after], schema=own)]
        stage = Stage.MAIN
        yield from _defaults_away(context, it.name)
    else:
        up = [op("add_enum_value", name, label, **place, schema=own) for label, place in _additions(it.before, after)]
    yield Step(stage, Phase.CONVERT, tuple(up), (back,))


def sequence_added(context: Context, it: d.SequenceAdded) -> Iterator[Step]:
    """Create a sequence."""
    sequence, own = it.sequence, context.schema(it.name)
    up = op("create_sequence", it.name.name, schema=own, **_options(sequence.options), **_owner(context, sequence))
    yield Step(Stage.MAIN, Phase.SEQUENCES, (up,), (_drop(context, "sequence", it.name),))


def sequence_removed(context: Context, it: d.SequenceRemoved, stage: Stage) -> Iterator[Step]:
    """Drop a sequence."""
    up, owner = _drop(context, "sequence", it.name), it.sequence.owner
    if owner is None:
        reason = "how far the sequence has counted is known to nobody"
        yield Step(stage, Phase.DROP_SEQUENCES, (up,), None, reason=reason)
    elif owner not in context.identities:  # becoming an identity column takes it away
        create, restart = owned_again(context, it.sequence)
        yield Step(Stage.MAIN, Phase.FREED, (up,), (create,))
        # The highest number is looked for when the column is one of numbers again.
        yield Step(Stage.MAIN, Phase.OWNERS, (), (restart,))


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
