"""What was made by hand on a column comes through a change of its type exactly as it was."""

import asyncio
import os
import subprocess

import pytest
from sqlalchemy import BigInteger, Computed, Integer, String, Text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.testing.server import Server, find_binaries
from tests.schema_cases.hindered import BY_HAND
from tests.support.desk import open_desk

MORE = """COMMENT ON VIEW seen IS 'it''s %s'; COMMENT ON COLUMN seen.b IS 'b'; COMMENT ON MATERIALIZED VIEW kept IS 'k';
ALTER VIEW seen ALTER COLUMN id SET DEFAULT 7; COMMENT ON TRIGGER one ON t IS 'one'; COMMENT ON RULE none ON t IS 'no';
ALTER TABLE t DISABLE TRIGGER one; ALTER TABLE t DISABLE RULE none; COMMENT ON POLICY mine ON t IS 'mine';
CREATE TRIGGER two INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TRIGGER three BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TRIGGER four AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION pass();
ALTER TABLE t ENABLE ALWAYS TRIGGER four;
CREATE RULE more AS ON UPDATE TO seen DO INSTEAD NOTHING; COMMENT ON RULE more ON seen IS 'more';
COMMENT ON TRIGGER two ON seen IS 'two'; COMMENT ON INDEX kept_b_idx IS 'b';
CREATE VIEW onwards AS SELECT id, a FROM t;
CREATE RULE through AS ON INSERT TO onwards DO INSTEAD INSERT INTO seen VALUES (NEW.id, NEW.a);
CREATE TABLE other (id int); CREATE POLICY through ON other USING (id IN (SELECT b FROM seen));
ALTER MATERIALIZED VIEW kept ALTER b SET STATISTICS 700, ALTER b SET (n_distinct = -0.5);
ALTER MATERIALIZED VIEW kept CLUSTER ON kept_b_idx; CREATE STATISTICS of_kept ON b, count FROM kept;
ALTER STATISTICS of_kept SET STATISTICS 20; ALTER STATISTICS of_kept OWNER TO {role};
CREATE MATERIALIZED VIEW empty WITH (fillfactor = 70) AS SELECT a FROM t WITH NO DATA;
CREATE VIEW "Odd ""view"" x" AS SELECT a AS "A b" FROM t; CREATE VIEW alone AS SELECT id FROM t;
CREATE RULE change AS ON INSERT TO alone DO INSTEAD INSERT INTO t VALUES (NEW.id, 1);
CREATE STATISTICS both_of_them ON id, a FROM t;
GRANT SELECT ON t TO {role}; GRANT SELECT ON seen TO {role} WITH GRANT OPTION; GRANT UPDATE (b) ON seen TO PUBLIC;
ALTER VIEW twice OWNER TO {role};
CREATE POLICY theirs ON t FOR SELECT TO {role} USING (a > 0)"""


@pytest.mark.parametrize("transactional", [True, False])
async def test_there_and_back_nothing_is_another(
    engine: AsyncEngine, server: Server, postgres_version: int, *, transactional: bool
) -> None:
    role = f"reader_{os.getpid()}_{transactional:d}"
    dump = [find_binaries(postgres_version) / "pg_dump", server.url(engine.url.database or "", driver="")]
    async with open_desk(engine) as desk:
        await desk.driver.execute(f"CREATE ROLE {role}")
        try:
            await desk.driver.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
            await desk.driver.execute(f"{BY_HAND}; {MORE.format(role=role)}")
            await desk.driver.execute("INSERT INTO t VALUES (1, 7); REFRESH MATERIALIZED VIEW kept")
            before = await asyncio.to_thread(dumped, dump)
            for type_, name in ((BigInteger(), "bigint"), (Integer(), "integer")):
                async with desk.op(transactional=transactional) as op:
                    await op.alter_column("t", "a", type_=type_)
                assert await desk.value("SELECT pg_typeof(a)::text FROM twice") == name
            assert await asyncio.to_thread(dumped, dump) == before
        finally:
            await desk.driver.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
async def test_nobody_may_read_a_view_who_might_not_before(
    engine: AsyncEngine, postgres_version: int, kind: str
) -> None:
    analyst, owner = (f"{name}_{os.getpid()}_{postgres_version}_{len(kind)}" for name in ("analyst", "owner"))
    rights = """SELECT array_agg(DISTINCT (v, coalesce(g.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable)::text)
     FROM unnest(ARRAY['secret', 'open', 'owned']) AS v JOIN pg_class AS c ON c.oid = v::regclass
     CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
     LEFT JOIN pg_roles AS g ON g.oid = a.grantee
     UNION ALL SELECT array_agg(a.attname || a.attacl::text) FROM pg_attribute AS a WHERE a.attrelid = 'owned'::regclass
      AND a.attacl IS NOT NULL"""
    async with open_desk(engine) as desk:
        await desk.driver.execute(f"CREATE ROLE {analyst}; CREATE ROLE {owner}")
        try:
            await desk.driver.execute(
                f"""CREATE TABLE t (a int); GRANT SELECT ON t TO {owner};
                CREATE {kind} secret AS SELECT a FROM t; CREATE {kind} open AS SELECT a FROM t;
                CREATE {kind} owned AS SELECT a FROM t; ALTER TABLE owned OWNER TO {owner};
                REVOKE INSERT ON owned FROM {owner}; GRANT SELECT ON owned TO CURRENT_USER;
                GRANT SELECT (a) ON owned TO {analyst}; GRANT SELECT ON open TO {analyst} WITH GRANT OPTION;
                ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {analyst};
                ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO PUBLIC"""
            )
            before = await desk.driver.fetch(rights)
            async with desk.op(transactional=True) as op:
                await op.alter_column("t", "a", type_=BigInteger())
            assert (
                await desk.value("SELECT pg_typeof(a)::text FROM (SELECT a FROM owned UNION SELECT 1) AS o") == "bigint"
            )
            assert await desk.driver.fetch(rights) == before
        finally:
            await desk.driver.execute(f"DROP OWNED BY {analyst}, {owner} CASCADE; DROP ROLE {analyst}, {owner}")


async def test_what_is_made_again_lies_where_it_lay(engine: AsyncEngine, postgres_version: int) -> None:
    fast = f"fast_{os.getpid()}_{postgres_version}"
    where = """SELECT array_agg(c.relname || ' ' || coalesce(s.spcname, '') ORDER BY c.relname) FROM pg_class AS c
     LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace WHERE c.relname LIKE 'in\\_%'"""
    async with open_desk(engine) as desk:
        await desk.driver.execute("SET allow_in_place_tablespaces = on")
        await desk.driver.execute(f"CREATE TABLESPACE {fast} LOCATION ''")
        try:
            await desk.driver.execute(
                f"""CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int, mood mood);
                CREATE MATERIALIZED VIEW in_view TABLESPACE {fast} AS SELECT mood FROM t;
                CREATE INDEX in_view_index ON in_view (mood) TABLESPACE {fast};
                CREATE INDEX in_index ON t (id) TABLESPACE {fast} WHERE mood = 'sad';
                ALTER TABLE t ADD CONSTRAINT in_constraint EXCLUDE USING btree (id WITH =)
                 USING INDEX TABLESPACE {fast} WHERE (mood = 'sad'); CREATE INDEX in_none ON t (id) WHERE mood = 'ok'"""
            )
            before = await desk.value(where)
            for default in ("", fast):
                await desk.driver.execute(f"SET default_tablespace = '{default}'")
                async with desk.op(transactional=False) as op:
                    await op.set_enum_values("mood", ["ok", "sad"] if default else ["new", "sad", "ok"])
                assert await desk.value(where) == before
                assert await desk.value("SHOW default_tablespace") == default
        finally:
            await desk.driver.execute("DROP TABLE IF EXISTS t CASCADE")
            await desk.driver.execute(f"DROP TABLESPACE {fast}")


async def test_an_exclusion_comes_back_that_reads_the_column_elsewhere_than_in_its_keys(engine: AsyncEngine) -> None:
    constraints = """SELECT array_agg(conname || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint
     WHERE conrelid = 't'::regclass"""
    async with open_desk(engine) as desk:
        await desk.driver.execute(
            """CREATE TYPE mood AS ENUM ('sad', 'ok');
            CREATE TABLE t (id int, mood mood, name varchar(9), loud text GENERATED ALWAYS AS (upper(name)) STORED,
             CONSTRAINT one EXCLUDE USING btree (id WITH =) WHERE (mood = 'ok'),
             CONSTRAINT two EXCLUDE USING btree (id WITH =) WHERE (loud <> ''),
             CONSTRAINT three EXCLUDE USING btree ((length(loud)) WITH =));
            ALTER TABLE t CLUSTER ON three"""
        )
        before = await desk.value(constraints)
        async with desk.op(transactional=True) as op:
            await op.set_enum_values("mood", ["ok", "sad"])
            await op.alter_column("t", "name", type_=Text())
        assert await desk.value(constraints) == before
        assert await desk.value("SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered") == "three"


@pytest.mark.parametrize("transactional", [True, False])
async def test_an_index_stays_the_replica_identity(engine: AsyncEngine, *, transactional: bool) -> None:
    async with open_desk(engine) as desk:
        await desk.driver.execute(
            """CREATE TABLE t (a int, twice int GENERATED ALWAYS AS (a * 2) STORED NOT NULL);
            CREATE UNIQUE INDEX ux ON t (twice); ALTER TABLE t REPLICA IDENTITY USING INDEX ux"""
        )
        async with desk.op(transactional=transactional) as op:
            await op.alter_column("t", "a", type_=BigInteger(), postgresql_using="a")
        assert await desk.value("SELECT indisreplident FROM pg_index WHERE indexrelid = 'ux'::regclass") is True


GENERATED = """CREATE TABLE t (id int, name varchar(9),
 loud text COLLATE "C" GENERATED ALWAYS AS (upper(name)) STORED NOT NULL); CREATE TABLE heir () INHERITS (t);
ALTER TABLE t ALTER loud SET STATISTICS 500, ALTER loud SET STORAGE EXTERNAL, ALTER loud SET COMPRESSION pglz,
 ALTER loud SET (n_distinct = 5, n_distinct_inherited = 7); COMMENT ON COLUMN t.loud IS 'it''s loud';
CREATE STATISTICS both_of_them ON id, loud FROM t; COMMENT ON STATISTICS both_of_them IS 'both';
CREATE STATISTICS lower ON lower(loud) FROM t;
ALTER TABLE heir ALTER loud SET STATISTICS 300; COMMENT ON COLUMN heir.loud IS 'heir';
GRANT SELECT (loud) ON t TO {role} WITH GRANT OPTION; GRANT UPDATE (loud) ON t TO PUBLIC;
GRANT SELECT (loud) ON heir TO {role}; INSERT INTO t VALUES (1, 'a')"""


@pytest.mark.parametrize("way", ["another type", "another expression"])
async def test_a_generated_column_comes_back_with_all_that_it_had(
    engine: AsyncEngine, server: Server, postgres_version: int, way: str
) -> None:
    role = f"hearer_{os.getpid()}_{len(way)}"
    dump = [find_binaries(postgres_version) / "pg_dump", server.url(engine.url.database or "", driver="")]
    async with open_desk(engine) as desk:
        await desk.driver.execute(f"CREATE ROLE {role}")
        try:
            await desk.driver.execute(GENERATED.format(role=role))
            before = await asyncio.to_thread(dumped, dump)
            for number, function in ((20, "lower"), (9, "upper")):
                async with desk.op(transactional=True) as op:
                    if way == "another type":
                        await op.alter_column("t", "name", type_=String(number))
                    else:
                        stored = Computed(f"{function}(name)", persisted=True)
                        await op.alter_column("t", "loud", server_default=stored)
            assert await asyncio.to_thread(dumped, dump) == before
        finally:
            await desk.driver.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def dumped(command: list[object]) -> list[str]:
    """Return what pg_dump writes; newer ones write a random key around it."""
    done = subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("\\")]


async def test_what_an_extension_owns_is_left_to_postgresqls_refusal(engine: AsyncEngine) -> None:
    async with open_desk(engine) as desk:
        await desk.driver.execute("CREATE TABLE t (a int); CREATE VIEW owned AS SELECT a FROM t")
        await desk.driver.execute("ALTER EXTENSION plpgsql ADD VIEW owned")
        with pytest.raises(Exception, match="cannot alter type of a column used by a view"):
            async with desk.op(transactional=True) as op:
                await op.alter_column("t", "a", type_=BigInteger())
        assert await desk.value("SELECT pg_typeof(a)::text FROM (SELECT 1::int AS a) AS t") == "integer"
