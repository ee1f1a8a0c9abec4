"""What was made by hand on a column comes through a change of its type exactly as it was."""

import asyncio
import os
import subprocess

import pytest
from sqlalchemy import BigInteger, Integer
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.testing.server import Server, find_binaries
from tests.schema_cases.hindered import BY_HAND
from tests.support.desk import open_desk

MORE = """COMMENT ON VIEW seen IS 'it''s %s'; COMMENT ON COLUMN seen.b IS 'b'; COMMENT ON MATERIALIZED VIEW kept IS 'k';
ALTER VIEW seen ALTER COLUMN id SET DEFAULT 7; COMMENT ON TRIGGER one ON t IS 'one'; COMMENT ON RULE none ON t IS 'no';
ALTER TABLE t DISABLE TRIGGER one; COMMENT ON POLICY mine ON t IS 'mine';
CREATE TRIGGER two INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TRIGGER three BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TRIGGER four AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION pass();
ALTER TABLE t ENABLE ALWAYS TRIGGER four;
CREATE RULE more AS ON UPDATE TO seen DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW empty WITH (fillfactor = 70) AS SELECT a FROM t WITH NO DATA;
CREATE VIEW "Odd ""view"" x" AS SELECT a AS "A b" FROM t; CREATE VIEW alone AS SELECT id FROM t;
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
