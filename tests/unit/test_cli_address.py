"""The database's URL in its usual spellings."""

import ssl
from pathlib import Path

import asyncpg
import pytest

from async_migrations.cli.address import read_address, written_out
from async_migrations.errors import ConfigurationError

SECRET = "s3cret-pass"


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2", "postgres+x"],
)
def test_every_spelling_of_the_scheme_becomes_asyncpg(scheme: str) -> None:
    url = read_address(f"{scheme}://u:{SECRET}@h:5433/d").url

    assert url.render_as_string(hide_password=False) == f"postgresql+asyncpg://u:{SECRET}@h:5433/d"


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("sslmode=require", {"ssl": "require"}),
        ("ssl=verify-full&sslmode=require", {"ssl": "verify-full"}),
        ("ssl=true", {"ssl": "require"}),
        ("connect_timeout=10", {"timeout": 10.0}),
        ("connect_timeout=0", {}),
        ("connect_timeout=-1", {}),
        ("command_timeout=2.5", {"command_timeout": 2.5}),
        ("application_name=shop", {"server_settings": {"application_name": "shop"}}),
        ("options=-c%20search_path%3Da", {"server_settings": {"options": "-c search_path=a"}}),
        ("passfile=/a%20b", {"dsn": "postgresql://?passfile=%2Fa+b"}),
        ("channel_binding=require&keepalives=1&statement_cache_size=0", {}),
        ("sslmode=disable&sslmode=require", {"ssl": "require"}),
    ],
)
def test_what_libpq_takes_is_translated(query: str, arguments: dict[str, object]) -> None:
    address = read_address(f"postgresql://u@h/d?{query}")

    assert address.connect_args == arguments
    assert address.url.render_as_string() == "postgresql+asyncpg://u@h/d"
    assert address.ignored == ()


async def test_files_of_certificates_reach_asyncpg(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    arguments = read_address(f"postgresql://u@h/d?sslmode=verify-ca&sslrootcert={tmp_path}/ca.pem").connect_args

    with pytest.raises(ssl.SSLError):
        await asyncpg.connect(host="127.0.0.1", port=1, user="u", **arguments)


def test_a_certificate_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"says sslrootcert=/no/such\.pem, and there is no such file"):
        read_address("postgresql://u@h/d?sslmode=verify-ca&sslrootcert=/no/such.pem")


def test_sockets_and_several_hosts_stay_where_sqlalchemy_reads_them() -> None:
    assert read_address("postgresql:///d?host=/run/postgresql").url.query == {"host": "/run/postgresql"}
    assert read_address("postgresql://u@/d?host=a:1&host=b:2").url.query == {"host": ("a:1", "b:2")}


def test_a_name_and_password_among_the_parameters_are_hidden() -> None:
    address = read_address(f"postgresql://h/?user=u&password={SECRET}&dbname=d")

    assert address.url.render_as_string() == "postgresql+asyncpg://u:***@h/d"


def test_a_plus_is_no_space() -> None:
    assert read_address("postgresql://h/?user=u&password=a+b%20c").password == "a+b c"


def test_what_nobody_understands_is_named() -> None:
    assert read_address("postgresql://u@h/d?schema=app&pgbouncer=true").ignored == ("schema",)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "is no URL"),
        (SECRET, "is no URL"),
        (f"mysql://u:{SECRET}@h/d", "begins with 'mysql'; it must be postgresql://"),
        (f"postgresql+asyncpg:u:{SECRET}@h/d", "is no URL"),
        (f"postgresql://u:{SECRET}@h:port/d", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:5432/d?connect_timeout=soon", "connect_timeout='soon'"),
        (f"postgresql://u:{SECRET}@h:5432/d?connect_timeout=nan", "connect_timeout='nan'"),
        (f"postgresql://u:{SECRET}@h:99999/d", "a port is a number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@h:{'9' * 5000}/d", "a port is a number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@h:0/d", "a port is a number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@h/d%00", "holds a NUL character"),
        (f"postgresql://u:{SECRET}@h/d?target_session_attrs=foo", "it is one of any, primary, standby"),
        (f"postgresql://u:{SECRET}@h/d?sslmode=maybe", "SSL is one of disable, allow"),
        (f"postgresql://u:p@{SECRET}@h/d", "write %40 for @"),
        (f"postgresql://u:p@{SECRET}/x@h/d", "write %40 for @"),
        (f"postgresql://u:p?x@{SECRET}@h/d", "write %40 for @"),
        (f"postgresql://u:p@{SECRET}?x@h/d", "write %40 for @"),
        (f"postgresql://u:p@x?{SECRET}=y@h/d", "write %40 for @"),
        (f"postgresql://u/{SECRET}@h/d", "between user name and password stands a colon"),
        (f"postgresql://u/{SECRET}@h:5432/d", "between user name and password stands a colon"),
    ],
)
def test_what_is_no_url_is_a_sentence_that_does_not_repeat_it(given: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        read_address(given)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "user", "password", "host"),
    [
        ("postgresql://h/d?user=a@b", "a@b", None, "h"),
        ("postgresql://h:5432/d?user=a@b", "a@b", None, "h"),
        ("postgresql://u:p@h/d?sslmode=require&password=a@b@c", "u", "a@b@c", "h"),
        ("postgresql://u:p?x@h/d", "u", "p?x", "h"),
        ("postgresql://u:p?x@h/d?sslmode=require", "u", "p?x", "h"),
        ("postgresql://u:p/x?y=z@h/d", "u", "p/x?y=z", "h"),
    ],
)
def test_an_at_belongs_to_a_parameter_or_ends_a_password(given: str, user: str, password: str, host: str) -> None:
    address = read_address(given)

    assert (address.user, address.password, address.host, address.database) == (user, password, host, "d")


SERVICES = f"""# of the team
[shop]
host=db.example
port=5433
dbname=shop
user=bob
password={SECRET}%d
sslmode=require

[sockets]
host=/run/postgresql
port=5433

[odd]
port=usual
"""


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "services.conf"
    path.write_text(SERVICES)
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return path


@pytest.mark.usefixtures("services")
def test_a_service_says_what_the_url_does_not() -> None:
    address = read_address("postgresql://?service=shop")
    assert (address.host, address.port, address.database, address.user) == ("db.example", 5433, "shop", "bob")
    assert (address.password, address.connect_args) == (f"{SECRET}%d", {"ssl": "require"})
    assert SECRET not in repr(address)

    nearer = read_address("postgresql://al:x@/d?service=shop&sslmode=disable")
    assert (nearer.user, nearer.password, nearer.host, nearer.database) == ("al", "x", "db.example", "d")
    assert nearer.connect_args == {"ssl": "disable"}
    assert read_address("postgresql:///d?service=sockets").places == {"host": "/run/postgresql", "port": "5433"}


@pytest.mark.usefixtures("services")
def test_a_url_is_written_out_with_its_service() -> None:
    assert written_out("postgresql://u:p@h/d?sslmode=require") == "postgresql://u:p@h/d?sslmode=require"
    assert written_out("postgresql://u@/d?service=shop&application_name=x") == (
        f"postgresql://u:{SECRET}%25d@db.example:5433/d?application_name=x&sslmode=require"
    )


@pytest.mark.usefixtures("services")
def test_a_service_that_cannot_be_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sentence in (
        ("nosuch", r"has no such service\. There is shop, sockets, odd\."),
        ("odd", "a port is a number"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            read_address(f"postgresql://?service={name}")
    monkeypatch.setenv("PGSERVICEFILE", "/no/such.conf")
    with pytest.raises(ConfigurationError, match=r"/no/such\.conf cannot be read: No such file"):
        read_address("postgresql://?service=shop")


@pytest.mark.parametrize(
    ("content", "line"), [(f"password {SECRET}\n", 1), (f"[shop]\nhost=h\npassword {SECRET}\n", 3), (b"\xff", None)]
)
def test_a_broken_file_of_services_is_not_repeated(services: Path, content: str | bytes, line: int | None) -> None:
    services.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=f"line {line} is neither" if line else "not UTF-8") as caught:
        read_address("postgresql://?service=shop")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "host", "port"),
    [
        ("host=a,b&port=1,2", ["a", "b"], [1, 2]),
        ("host=a:1&host=b:2", ["a", "b"], [1, 2]),
        ("host=a,b", ["a", "b"], [5432, 5432]),
        ("host=a,b&port=7", ["a", "b"], [7, 7]),
        ("host=/run/postgresql&port=7", "/run/postgresql", 7),
    ],
)
def test_several_hosts_are_as_many_for_the_bare_driver(query: str, host: object, port: object) -> None:
    arguments = read_address(f"postgresql://u@/d?{query}").connector.arguments
    assert (arguments["host"], arguments["port"]) == (host, port)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("host=a,b&port=1,99999", "from 1 to 65535"),
        ("host=a,b&port=1,2,3", "names 2 hosts and 3 ports"),
        ("host=a&port=usual", "a port is a number"),
    ],
)
def test_hosts_and_ports_that_do_not_fit_are_a_sentence(query: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_address(f"postgresql://u@/d?{query}")


def test_a_directory_of_sockets_may_stand_in_the_hosts_place() -> None:
    connector = read_address("postgresql://u@%2Frun%2Fpostgresql/d").connector
    assert connector.arguments["host"] == "/run/postgresql"
    assert connector.where == "/run/postgresql:5432/d"


def test_no_repr_holds_a_password() -> None:
    assert SECRET not in repr(read_address(f"postgresql://u:{SECRET}@h/d").connector)
    assert SECRET not in repr(read_address(f"postgresql://u:{SECRET}@h/d?sslpassword={SECRET}"))
