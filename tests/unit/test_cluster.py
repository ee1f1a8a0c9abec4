"""Which statements change what all databases of a server share."""

import pytest

from async_migrations.cli.cluster import reaches_others


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("SELECT 1;\n\ncreate /* a */ role a", (3, "CREATE ROLE")),
        ("DROP USER a", (1, "DROP USER")),
        ("ALTER DATABASE a SET work_mem = 1", (1, "ALTER DATABASE")),
        ("CREATE TABLESPACE a LOCATION '/a'", (1, "CREATE TABLESPACE")),
        ("alter system set work_mem = 1", (1, "ALTER SYSTEM")),
        ('GRANT "a", b TO c', (1, "GRANT")),
        ("REVOKE ADMIN OPTION FOR a FROM c", (1, "REVOKE")),
        ("GRANT CONNECT ON DATABASE a TO b", (1, "GRANT")),
        ("COMMENT ON ROLE a IS 'b'", (1, "COMMENT ON")),
        ("DROP OWNED BY a", (1, "DROP OWNED")),
        ("DO $$ BEGIN\n IF true THEN CREATE ROLE a; END IF; END $$", (1, "CREATE ROLE")),
        ("DO $$ BEGIN EXECUTE 'GRANT a TO b'; END $$", (1, "GRANT")),
        ("DO $$ BEGIN GRANT SELECT ON t TO a; END $$", None),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE a; END $$", None),
        ("-- CREATE ROLE a\nSELECT 'CREATE ROLE a'", None),
        ("GRANT SELECT (a) ON t TO b; REVOKE ALL ON SCHEMA public FROM public", None),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a", None),
        ("CREATE USER MAPPING FOR a SERVER b; SET ROLE a; COMMENT ON TABLE role IS 'on role'", None),
        ("CREATE TABLE role (a int); SELECT a FROM role GROUP BY a", None),
    ],
)
def test_what_others_see_is_found(script: str, found: tuple[int, str] | None) -> None:
    assert reaches_others(script) == found
