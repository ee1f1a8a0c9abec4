"""Plans on snapshots written by hand: which steps, in which file, in which order, and what is left out."""

from dataclasses import replace

import pytest

from async_migrations.schema import difference as d
from async_migrations.schema.compare import ORDER
from async_migrations.schema.snapshot import Domain, DomainCheck, EnumType, Sequence, Snapshot
from async_migrations.schema.table import (
    Column,
    Computed,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    Name,
    SequenceOptions,
    Table,
    TableKind,
)
from tests.support.plans import check, column, compared, index, key, plan_of, planned, reference, snapshot, table

ID = column("id", nullable=False)
KEY = key("users_pkey", "id")
USERS = table("users", ID, KEY)
PUBLIC = "public"
STATUS = Name(PUBLIC, "status")
NEW_OLD = EnumType(STATUS, ("new", "old"))
STATE = column("state", "public.status", type_name=STATUS)


def more(enum: EnumType) -> EnumType:
    return replace(enum, labels=(*enum.labels, "gone"))


def users(*parts: Column | Constraint | Index) -> Table:
    return table("users", ID, KEY, *parts)


def test_nothing_is_planned_for_equal_schemas() -> None:
    assert planned(snapshot(USERS), snapshot(USERS)).files == {}


# Which file


def test_rows_and_indexes_of_old_tables_are_looked_at_beside_running_writes() -> None:
    wanted = users(column("age"), index("ix", "age"), reference("fk", "age", "users"), check("ck", "(id > 0)", "id"))

    plan = planned(snapshot(users(column("age"))), snapshot(wanted))

    assert plan.files == {
        "main": [
            'create_check_constraint("ck", "users", "(id > 0)", not_valid=True)',
            'create_foreign_key("fk", "users", "users", ["age"], ["id"], not_valid=True)',
        ],
        "concurrent": ['create_index("ix", "users", ["age"])'],
        "validate": ['validate_constraint("fk", "users")', 'validate_constraint("ck", "users")'],
    }


def test_a_new_table_has_its_indexes_and_keys_in_one_file() -> None:
    plan = planned(snapshot(), snapshot(users(column("age"), index("ix", "age"), reference("fk", "age", "users"))))

    assert list(plan.files) == ["main"]
    assert plan.place("create_table") < plan.place("create_index")
    assert plan.back == {"main": ['drop_table("users")']}


def test_a_check_of_new_columns_is_looked_at_beside_running_writes_too() -> None:
    wanted = users(column("age"), check("ck", "(age > 0)", "age"), check("both", "(age > id)", "age", "id"))

    assert planned(snapshot(USERS), snapshot(wanted)).files["validate"] == [
        'validate_constraint("ck", "users")',
        'validate_constraint("both", "users")',
    ]


def test_indexes_and_keys_of_partitioned_tables_stay_in_the_transaction() -> None:
    parted = replace(USERS, kind=TableKind.PARTITIONED, partition_key="RANGE (id)", constraints=())
    wanted = replace(parted, indexes=(index("ix", "id"),), constraints=(KEY,))

    assert list(planned(snapshot(parted), snapshot(wanted)).files) == ["main"]


def test_a_label_has_a_file_of_its_own_only_if_the_next_one_uses_it() -> None:
    more = replace(NEW_OLD, labels=("new", "old", "gone"))
    live = snapshot(table("t", STATE), enums=(NEW_OLD,))

    unused = planned(live, snapshot(table("t", STATE), enums=(more,)))
    used = planned(live, snapshot(table("t", replace(STATE, default="'gone'::public.status")), enums=(more,)))

    assert list(unused.files) == ["main"]
    assert list(used.files) == ["labels", "main"]
    assert used.calls[0] == 'add_enum_value("status", "gone")'


def test_what_loses_something_stands_last_and_has_no_way_back() -> None:
    live = snapshot(users(column("old")), table("gone", ID))

    plan = planned(live, snapshot(users(column("new"))), allow_destructive=True)

    assert plan.files["drop"] == ['drop_column("users", "old")', 'drop_table("gone")']
    assert plan.back == {"main": ['drop_column("users", "new")'], "drop": None}
    assert plan.left_out == ()


def test_a_name_that_something_new_takes_is_freed_first() -> None:
    live, wanted = snapshot(table("gone", ID, index("ix", "id"))), snapshot(users(index("ix", "id")))

    plan = planned(live, wanted, allow_destructive=True)

    assert list(plan.files) == ["main"]
    assert plan.place("drop_table") < plan.place("create_index")


def test_columns_do_not_go_early_for_a_name_that_is_freed() -> None:
    gone, holding = table("gone", ID, key("gone_pkey", "id"), index("ix", "id")), reference("fk", "old", "gone")

    plan = planned(
        snapshot(gone, users(column("old"), holding)), snapshot(users(index("ix", "id"))), allow_destructive=True
    )

    assert plan.files == {
        "main": ['drop_constraint("fk", "users")', 'drop_table("gone")'],
        "concurrent": ['create_index("ix", "users", ["id"])'],
        "drop": ['drop_column("users", "old")'],
    }


def test_a_name_of_another_schema_is_in_nobodys_way() -> None:
    gone = replace(table("gone", ID, index("ix", "id")), name=Name("other", "gone"))
    found = d.TableRemoved(gone), d.IndexAdded(USERS.name, index("ix", "id"))

    plan = plan_of(found, snapshot(gone, USERS), snapshot(users(index("ix", "id"))), allow_destructive=True)

    assert list(plan.files) == ["concurrent", "drop"]


# What is left out


def test_what_loses_something_is_left_out_and_so_is_what_hangs_on_it() -> None:
    rounded, exact = column("price", "numeric(10,2)"), column("price", "numeric(10,0)", nullable=False)
    live = snapshot(table("gone", STATE), users(rounded, column("old")), enums=(NEW_OLD,))

    plan = planned(live, snapshot(users(exact)))

    assert plan.files == {}
    assert {type(each) for each in plan.left_out} == {
        d.TableRemoved,
        d.ColumnRemoved,
        d.ColumnTypeChanged,
        d.NullabilityChanged,
        d.EnumRemoved,
    }


def test_labels_are_added_where_none_may_go() -> None:
    live = snapshot(table("t", STATE), enums=(NEW_OLD,))
    wanted = snapshot(table("t", STATE), enums=(replace(NEW_OLD, labels=("new", "gone")),))

    kept, free = planned(live, wanted), planned(live, wanted, allow_destructive=True)

    assert kept.calls == ['add_enum_value("status", "gone", after="new")']
    assert [type(each) for each in kept.left_out] == [d.EnumLabelsChanged]
    assert free.left_out == ()
    assert 'set_enum_values("status", ["new", "gone"])' in free.calls[0]


# In which order


def test_tables_come_after_those_they_refer_to_and_circles_are_closed_at_the_end() -> None:
    one = table("a", ID, column("b"), key("a_pkey", "id"), reference("a_b", "b", "b"))
    other = table("b", ID, column("a"), key("b_pkey", "id"), reference("b_a", "a", "a"))
    heir = table("0", ID, parents=(Name(PUBLIC, "b"),))

    plan = planned(snapshot(), snapshot(one, other, heir))

    assert plan.place('create_foreign_key("') == len(plan.calls) - 1
    assert plan.place('create_table("b"') < plan.place('create_table("0"')


def test_tables_go_before_those_they_refer_to() -> None:
    child = table("child", ID, column("user_id"), reference("fk", "user_id", "users"))

    plan = planned(snapshot(child, USERS), snapshot(), allow_destructive=True)

    assert plan.place('drop_table("child"') < plan.place('drop_table("users"')


def test_a_key_is_there_before_the_reference_to_it_is() -> None:
    live = snapshot(table("t", ID), table("child", column("t_id")))
    wanted = snapshot(table("t", ID, key("t_pkey", "id")), table("child", column("t_id"), reference("fk", "t_id", "t")))

    plan = planned(live, wanted)

    assert list(plan.files) == ["concurrent", "validate"]
    assert plan.place('create_primary_key("t_pkey"') < plan.place('create_foreign_key("fk"')


def test_a_reference_in_the_way_of_a_conversion_is_dropped_and_made_again() -> None:
    child = table("child", column("user_id"), reference("fk", "user_id", "users"))
    texts = replace(USERS, columns=(replace(ID, type="text"),))
    wanted = snapshot(texts, table("child", column("user_id", "text"), reference("fk", "user_id", "users")))

    plan = planned(snapshot(USERS, child), wanted)

    assert (
        plan.place('drop_constraint("fk"')
        < plan.place('alter_column("users", "id"')
        < plan.place('create_foreign_key("fk"')
        < plan.place('validate_constraint("fk"')
    )


def test_an_index_that_changes_is_built_beside_the_old_one() -> None:
    plan = planned(snapshot(users(index("ix", "id"))), snapshot(users(index("ix", "id", unique=True))))

    assert [each.partition("(")[0] for each in plan.calls] == ["create_index", "execute", "drop_index", "rename_index"]
    assert list(plan.files) == ["concurrent"]
    assert plan.back["concurrent"]


def test_an_invalid_index_is_dropped_before_it_is_built_again() -> None:
    broken = replace(index("ix", "id"), valid=False)

    plan = planned(snapshot(users(broken)), snapshot(users(index("ix", "id"))))

    assert plan.calls == ['drop_index("ix", "users")', 'create_index("ix", "users", ["id"])']


def test_an_index_goes_along_with_its_column() -> None:
    live = snapshot(users(column("old"), index("ix", "old"), key("uq", "old", kind=ConstraintKind.UNIQUE)))

    assert planned(live, snapshot(USERS), allow_destructive=True).calls == ['drop_column("users", "old")']


# Domains


SMALL = Domain(Name(PUBLIC, "z_small"), "integer")
EVEN = Domain(Name(PUBLIC, "a_even"), "public.z_small", checks=(DomainCheck("even", "CHECK (((VALUE % 2) = 0))"),))
NUMBERS = table("t", column("n", "public.a_even", type_name=EVEN.name))


def test_a_domain_comes_after_the_one_it_is_made_of_and_goes_before_it() -> None:
    made = planned(snapshot(), snapshot(domains=(EVEN, SMALL)))
    gone = planned(snapshot(domains=(EVEN, SMALL)), snapshot())

    assert made.place('create_domain("z_small"') < made.place('create_domain("a_even"')
    assert gone.place('drop_domain("a_even"') < gone.place('drop_domain("z_small"')
    assert gone.back["main"] == made.calls


def test_a_domain_of_another_type_takes_along_what_is_made_of_it() -> None:
    large = replace(SMALL, type="bigint")

    plan = planned(snapshot(NUMBERS, domains=(EVEN, SMALL)), snapshot(NUMBERS, domains=(EVEN, large)))

    assert [each.partition(",")[0] for each in plan.calls] == [
        'rename_domain("z_small"',
        'rename_domain("a_even"',
        'create_domain("z_small"',
        'create_domain("a_even"',
        'alter_column("t"',
        'drop_domain("a_even_old")',
        'drop_domain("z_small_old")',
    ]
    assert plan.back["main"]


def test_a_new_domain_over_one_of_another_type_is_made_once_and_of_the_new_one() -> None:
    live, large = snapshot(domains=(SMALL,)), replace(SMALL, type="bigint")

    plan = planned(live, snapshot(domains=(EVEN, large)))

    assert plan.place('create_domain("z_small"') < plan.place('create_domain("a_even"')
    assert plan.back["main"] is not None
    assert plan.back["main"][0] == 'drop_domain("a_even")'


def test_a_domain_is_altered_where_that_is_enough() -> None:
    strict = replace(SMALL, nullable=False, default="7", checks=(DomainCheck("low", "CHECK ((VALUE < 9))"),))

    plan = planned(snapshot(domains=(SMALL,)), snapshot(domains=(strict,)))

    assert plan.calls == [
        'alter_domain("z_small", server_default=sa.text("7"), nullable=False)',
        'create_domain_constraint("low", "z_small", "(VALUE < 9)", not_valid=True)',
        'validate_domain_constraint("low", "z_small")',
    ]
    assert plan.back["main"] == [
        'drop_domain_constraint("low", "z_small")',
        'alter_domain("z_small", server_default=None, nullable=True)',
    ]


# Tables


PARTED = table("log", ID, kind=TableKind.PARTITIONED, partition_key="RANGE (id)")
PART = table(
    "log_1",
    replace(ID, local=False),
    kind=TableKind.PARTITION,
    parents=(PARTED.name,),
    partition_bound="FOR VALUES FROM (1) TO (10)",
)


def test_a_partition_with_another_bound_is_detached_and_attached() -> None:
    wider = replace(PART, partition_bound="FOR VALUES FROM (1) TO (20)")

    plan = planned(snapshot(PARTED, PART), snapshot(PARTED, wider))

    assert plan.calls == [
        'detach_partition("log", "log_1")',
        'attach_partition("log", "log_1", "FOR VALUES FROM (1) TO (20)")',
    ]
    assert plan.back["main"] == [
        'detach_partition("log", "log_1")',
        'attach_partition("log", "log_1", "FOR VALUES FROM (1) TO (10)")',
    ]


@pytest.mark.parametrize(
    ("facts", "call", "back"),
    [
        ({"tablespace": "fast"}, 'set_tablespace("users", "fast")', 'set_tablespace("users", "pg_default")'),
        (
            {"method": "columnar"},
            'execute("ALTER TABLE users SET ACCESS METHOD columnar")',
            'execute("ALTER TABLE users SET ACCESS METHOD heap")',
        ),
        ({"unlogged": True}, 'set_logged("users", False)', 'set_logged("users", True)'),
        (
            {"options": ("fillfactor=70",)},
            'set_table_options("users", {"fillfactor": 70})',
            'reset_table_options("users", ["fillfactor"])',
        ),
        ({"comment": "People"}, 'create_table_comment("users", "People")', 'drop_table_comment("users")'),
        ({"parents": (Name(PUBLIC, "log"),)}, 'inherit("users", "log")', 'no_inherit("users", "log")'),
    ],
    ids=["tablespace", "access method", "unlogged", "options", "comment", "parent"],
)
def test_what_a_table_is_beside_its_columns_is_set_and_set_back(facts: dict[str, object], call: str, back: str) -> None:
    other = replace(USERS, **facts)  # type: ignore[arg-type]  # by name

    assert planned(snapshot(USERS, PARTED), snapshot(other, PARTED)).files == {"main": [call]}
    assert planned(snapshot(USERS, PARTED), snapshot(other, PARTED)).back == {"main": [back]}
    assert planned(snapshot(other, PARTED), snapshot(USERS, PARTED)).files == {"main": [back]}


def test_another_partition_key_is_followed_only_when_allowed() -> None:
    wanted = replace(PARTED, partition_key="LIST (id)")

    assert planned(snapshot(PARTED), snapshot(wanted)).files == {}
    plan = planned(snapshot(PARTED), snapshot(wanted), allow_destructive=True)
    assert plan.place("rename_table") < plan.place("create_table") < plan.place("drop_table")
    assert plan.back == {"main": None}


# Columns and sequences


def test_a_column_that_has_to_be_made_anew_brings_its_indexes_again() -> None:
    doubled = column("n", computed=Computed("(id * 2)"))

    plan = planned(
        snapshot(users(column("n"), index("ix", "n"))),
        snapshot(users(doubled, index("ix", "n"))),
        allow_destructive=True,
    )

    assert plan.place("drop_column") < plan.place("add_column") < plan.place('create_index("ix"')
    assert plan.back["main"] is None


def test_an_identity_comes_and_goes() -> None:
    numbered = replace(ID, identity=Identity(True, SequenceOptions("integer"), Name(PUBLIC, "users_id_seq")))

    come = planned(snapshot(table("t", ID)), snapshot(table("t", numbered)))
    gone = planned(snapshot(table("t", numbered)), snapshot(table("t", ID)))

    assert "sa.Identity(" in come.calls[0]
    assert gone.calls == ['alter_column("t", "id", server_default=None)']
    assert come.back["main"] == gone.calls


def test_a_free_sequence_counts_on_only_when_it_may_not_go() -> None:
    tickets = Sequence(Name(PUBLIC, "tickets"), SequenceOptions(increment=5))

    assert planned(snapshot(), snapshot(sequences=(tickets,))).back == {"main": ['drop_sequence("tickets")']}
    assert planned(snapshot(sequences=(tickets,)), snapshot()).files == {}
    assert planned(snapshot(sequences=(tickets,)), snapshot(), allow_destructive=True).back == {"main": None}


# Renames


def test_renames_come_first_and_the_rest_is_said_in_new_names() -> None:
    live = snapshot(users(column("age")))
    wanted = snapshot(table("people", ID, column("years", "bigint"), key("people_pkey", "id")))
    hints = [("table", "public.users", "people"), ("column", "public.users.age", "years")]

    plan = planned(live, wanted, renames=hints)

    assert plan.calls[:3] == [
        'rename_table("users", "people")',
        'rename_column("people", "age", "years")',
        'rename_constraint("people", "users_pkey", "people_pkey")',
    ]
    assert plan.calls[3].startswith('alter_column("people", "years", type_=')


def test_there_is_no_way_back_where_only_old_names_say_what_was() -> None:
    live = snapshot(users(column("age"), check("ck", "(age > 0)", "age")))
    wanted = snapshot(users(column("years"), check("ck", "(years > 5)", "years")))

    plan = planned(live, wanted, renames=[("column", "public.users.age", "years")])

    assert plan.back["main"] is None
    (reason,) = {step.reason for each in plan.plans for step in each.steps if step.down is None}
    assert reason == "what was there is known under its old names only"


def test_a_rename_alone_is_one_step_with_its_way_back() -> None:
    plan = planned(
        snapshot(enums=(NEW_OLD,)),
        snapshot(enums=(replace(NEW_OLD, labels=("fresh", "old")),)),
        renames=[("enum_value", "public.status.new", "fresh")],
    )

    assert plan.calls == ['rename_enum_value("status", "new", "fresh")']
    assert plan.back["main"] == ['rename_enum_value("status", "fresh", "new")']


def test_every_difference_is_listed_once() -> None:
    live = snapshot(users(column("old"), index("ix", "id")), table("gone", ID))
    found = compared(live, snapshot(users(column("new")), table("fresh", ID)))

    assert [type(each) for each in found] == [
        d.TableAdded,
        d.IndexRemoved,
        d.ColumnAdded,
        d.ColumnRemoved,
        d.TableRemoved,
    ]


# All of them


DEFERRED = reference(
    "fk", "id", "users", deferrable=True, definition="FOREIGN KEY (id) REFERENCES public.users(id) DEFERRABLE"
)
VIRTUAL = column("n", computed=Computed("(id * 2)", stored=False))
EVERY: list[tuple[Snapshot, Snapshot, list[tuple[str, str, str]]]] = [
    (snapshot(schemas=()), snapshot(USERS, enums=(NEW_OLD,), domains=(SMALL,)), []),
    (snapshot(USERS, enums=(NEW_OLD,), domains=(SMALL,)), snapshot(schemas=()), []),
    (snapshot(), snapshot(sequences=(Sequence(Name(PUBLIC, "s"), SequenceOptions()),)), []),
    (snapshot(sequences=(Sequence(Name(PUBLIC, "s"), SequenceOptions()),)), snapshot(), []),
    (
        snapshot(sequences=(Sequence(Name(PUBLIC, "s"), SequenceOptions()),)),
        snapshot(sequences=(Sequence(Name(PUBLIC, "z"), SequenceOptions(increment=2)),)),
        [("sequence", "public.s", "z")],
    ),
    (
        snapshot(users(column("a"), index("ix", "a")), enums=(NEW_OLD,)),
        snapshot(
            table("people", ID, column("b"), replace(KEY, name="pk"), index("ix_b", "b")),
            enums=(EnumType(Name(PUBLIC, "state"), ("fresh", "old")),),
        ),
        [
            ("table", "public.users", "people"),
            ("column", "public.users.a", "b"),
            ("type", "public.status", "state"),
            ("enum_value", "public.status.new", "fresh"),
            ("index", "public.ix", "ix_b"),
        ],
    ),
    (snapshot(table("t", STATE), enums=(NEW_OLD,)), snapshot(table("t", STATE), enums=(more(NEW_OLD),)), []),
    (snapshot(domains=(SMALL,)), snapshot(domains=(replace(SMALL, default="7"),)), []),
    (
        snapshot(PARTED, PART, users(column("a"))),
        snapshot(
            replace(PARTED, partition_key="LIST (id)"),
            replace(PART, partition_bound="DEFAULT"),
            replace(
                users(column("b")),
                tablespace="fast",
                method="columnar",
                unlogged=True,
                options=("fillfactor=70",),
                parents=(PARTED.name,),
                comment="People",
            ),
        ),
        [],
    ),
    (
        snapshot(
            users(column("a", "text"), column("b", "text"), column("c"), column("d", default="1"), column("e"), VIRTUAL)
        ),
        snapshot(
            users(
                column("a"),
                column("b", "text", collation='pg_catalog."C"'),
                column("c", identity=Identity(True, SequenceOptions(), Name(PUBLIC, "s")), nullable=False),
                column("d"),
                column("e", nullable=False),
                column("n"),
            )
        ),
        [],
    ),
    (
        snapshot(
            users(check("ck", "(id > 0)", "id", validated=False), check("old", "(id > 1)", "id"), index("ix", "id"))
        ),
        snapshot(users(check("ck", "(id > 0)", "id"), reference("fk", "id", "users"), index("ix", "id", unique=True))),
        [],
    ),
    (
        snapshot(users(index("ix", "id"))),
        snapshot(users(check("new", "(id > 1)", "id"), index("iy", "id", unique=True))),
        [],
    ),
    (snapshot(users(reference("fk", "id", "users"))), snapshot(users(DEFERRED)), []),
    (snapshot(users(check("ck", "(id > 0)", "id"))), snapshot(users(check("ck", "(id > 1)", "id"))), []),
]


def test_every_kind_of_difference_comes_of_two_snapshots_and_is_one_line_that_names_its_place_and_is_planned() -> None:
    seen: set[type[d.Difference]] = set()
    for live, wanted, hints in EVERY:
        found = compared(live, wanted, hints)
        plan = planned(live, wanted, renames=hints, allow_destructive=True)
        assert plan.calls
        for each in found:
            seen.add(type(each))
            assert str(each)
            assert "\n" not in str(each)
            assert str(each.group).rpartition(".")[2] in str(each)
            assert plan_of([each], live, wanted, allow_destructive=True).calls, each

    assert {*ORDER} - seen == {d.SchemaRenamed}
