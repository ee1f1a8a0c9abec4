"""docs/kubernetes.md: its manifests are valid, their commands run as they stand, its numbers add up."""

import configparser
import json
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import kubernetes_validate
import pytest

from async_migrations.testing.server import Server, temporary_server
from tests.conformance.aftermath import watching
from tests.support.http import plain_client
from tests.support.manifests import Container, Document, containers, documents, secrets
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import Child, module_process
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "kubernetes"
SHOP = EXAMPLE / "shop"
PAGE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
MANIFESTS = list(documents(EXAMPLE))
CONTAINERS = list(containers(MANIFESTS))
SECRETS = secrets(MANIFESTS)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEDGER = "SELECT array_agg(migration_name ORDER BY 1) FROM ledger.schema_migrations"
USERS = "SELECT array_agg(DISTINCT usename::text) FROM pg_stat_activity WHERE usename LIKE 'shop_%'"
NAMES = ["001_notes", "002_notes_taken_at"]
ROLL_BACK = 10
"""Seconds that must be left for rolling back and for closing, whatever the grace."""


def container(file: str, name: str) -> Container:
    (found,) = [each for each in CONTAINERS if (each.file, each.name) == (file, name)]
    return found


def shown(value: tuple[str, Document]) -> str:
    return f"{value[0]}-{value[1]['kind']}"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=shown)
@pytest.mark.parametrize("version", ["1.30.0", kubernetes_validate.latest_version()])
def test_a_manifest_is_valid(manifest: tuple[str, Document], version: str) -> None:
    kubernetes_validate.validate(dict(manifest[1]), version, strict=True)


def test_the_validation_would_notice_a_mistake() -> None:
    deployment = json.loads(json.dumps(next(each for file, each in MANIFESTS if file == "lifespan.yaml")))
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_what_a_manifest_refers_to_is_there() -> None:
    for each in CONTAINERS:
        if each.file != "pgbouncer.yaml":
            assert each.environment(SECRETS)
        ports = [port["name"] for port in each.spec.get("ports", ())]
        for probe in each.probes.values():
            (kind,) = {"httpGet", "tcpSocket"} & probe.keys()
            assert probe[kind]["port"] in ports
    names = {(each["kind"], each["metadata"]["name"]) for _, each in MANIFESTS}
    pod = container("pgbouncer.yaml", "pgbouncer").pod
    assert {("ConfigMap", pod["volumes"][0]["configMap"]["name"])} <= names
    assert {("Secret", pod["volumes"][1]["secret"]["secretName"])} <= names


def test_pods_have_the_time_that_they_are_promised() -> None:
    gate = int(re.findall(r"grace=(\d+)", (SHOP / "gated.py").read_text("utf-8"))[0])
    for each in CONTAINERS:
        command = each.command
        grace = gate if "gated:app" in command else 0
        if "--grace" in command:
            grace = int(command[command.index("--grace") + 1])
        pause = each.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert each.pod.get("terminationGracePeriodSeconds", 30) >= pause + grace + ROLL_BACK, each


def test_no_probe_that_kills_depends_on_migrations() -> None:
    probes = container("lifespan.yaml", "shop").probes
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }


def test_the_image_has_what_its_commands_need() -> None:
    lines = (SHOP / "Dockerfile").read_text("utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert sorted(copied) == sorted(
        path.name for path in SHOP.iterdir() if path.name not in {"Dockerfile", "__pycache__"}
    )
    (command,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert command == container("lifespan.yaml", "shop").command


def test_the_page_quotes_the_files() -> None:
    sources = [path.read_text("utf-8") for path in EXAMPLE.rglob("*") if path.suffix in {".yaml", ".sql", ".py"}]
    texts = [textwrap.dedent(text).strip() for kind, text in BLOCK.findall(PAGE) if kind in {"yaml", "sql", "python"}]
    assert texts
    for text in texts:
        assert any(_holds(source, text) for source in sources), text


def _holds(source: str, text: str) -> bool:
    """Tell whether a source holds a text, however deep it stands there."""
    indents = {line[: len(line) - len(line.lstrip())] for line in source.splitlines()}
    return any(textwrap.indent(text, indent) in source for indent in indents)


def test_the_page_names_what_there_is() -> None:
    files = {file for file, _ in MANIFESTS}
    assert set(re.findall(r"kubectl apply -f ([\w./-]+)", PAGE)) <= files
    jobs = {each["metadata"]["name"] for _, each in MANIFESTS if each["kind"] == "Job"}
    assert set(re.findall(r"job/([\w-]+)", PAGE)) <= jobs


# Their commands


class Cluster:
    """A server with the example's roles, and a place to run its containers' commands."""

    def __init__(self, server: Server, administrator: asyncpg.Connection) -> None:
        self.server = server
        self.administrator = administrator
        self.pooler: int | None = None

    def environment(self, of: Container) -> dict[str, str]:
        """Return a container's variables, with this machine in the place of the cluster's names."""
        pooler = self.pooler or self.server.port
        places = {"shop-pgbouncer:6432": f"127.0.0.1:{pooler}", "postgres:5432": f"127.0.0.1:{self.server.port}"}
        found = of.environment(SECRETS)
        for name, value in found.items():
            for theirs, ours in places.items():
                found[name] = found[name].replace(theirs, ours)
            assert found[name] != value
        return found

    @asynccontextmanager
    async def running(self, of: Container) -> AsyncIterator[Child]:
        """Run a container's command as its image would."""
        name, *arguments = ["0" if each == "8000" else each for each in of.command]
        modules = {"uvicorn": "uvicorn", "async-migrations": "async_migrations"}
        variables = self.environment(of)
        async with module_process(modules[name], *arguments, environment=variables, directory=SHOP) as child:
            yield child

    async def ended(self, of: Container) -> int:
        """Run a container's command to its end; return the exit code."""
        async with self.running(of) as child:
            return await child.wait()


@pytest.fixture(scope="module")
def postgres(postgres_version: int) -> Iterator[Server]:
    """Run a server on which the names of the example's roles are free."""
    with temporary_server(version=postgres_version) as server:
        yield server


@pytest.fixture
async def cluster(postgres: Server) -> AsyncIterator[Cluster]:
    async with watching(postgres.url()) as first:
        await first.execute("CREATE DATABASE shop")
        async with watching(postgres.url("shop")) as administrator:
            await administrator.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            await administrator.execute((EXAMPLE / "roles.sql").read_text("utf-8"))
            yield Cluster(postgres, administrator)
        await first.execute("DROP DATABASE shop WITH (FORCE)")
        await first.execute("DROP ROLE shop_app, shop_migrator")


@asynccontextmanager
async def talking_to(child: Child) -> AsyncIterator[httpx.AsyncClient]:
    line = await child.line_matching(r"Uvicorn running on http://0\.0\.0\.0:\d+", deadline=60)
    port = re.findall(r":(\d+) ", line)[0]
    async with plain_client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


async def ready(client: httpx.AsyncClient, path: str) -> None:
    async def is_ready() -> bool:
        return (await client.get(path)).status_code == httpx.codes.OK

    await eventually(is_ready, deadline=60)


async def takes_a_note(client: httpx.AsyncClient) -> None:
    answer = await client.post("/notes", params={"note": "well done"})
    assert (answer.status_code, answer.json()) == (200, {"id": 1})


async def test_the_service_migrates_by_itself_and_its_probes_are_answered(cluster: Cluster) -> None:
    shop = container("lifespan.yaml", "shop")
    paths = {name: probe["httpGet"]["path"] for name, probe in shop.probes.items()}
    # The first migration cannot go on as long as another transaction is about to make a table of this name.
    await cluster.administrator.execute("BEGIN; CREATE TABLE public.notes (x int)")
    async with cluster.running(shop) as child, talking_to(child) as client:
        assert (await client.get(paths["startupProbe"])).status_code == 200
        assert (await client.get(paths["livenessProbe"])).status_code == 200
        assert (await client.get(paths["readinessProbe"])).status_code == 503
        await cluster.administrator.execute("ROLLBACK")
        await ready(client, paths["readinessProbe"])
        await takes_a_note(client)
    assert await cluster.administrator.fetchval(LEDGER) == NAMES


@pytest.mark.parametrize("file", ["job.yaml", "helm/migrate.yaml"])
async def test_the_job_migrates_and_the_init_container_waits_for_it(cluster: Cluster, file: str) -> None:
    waits = container("init-container.yaml", "wait-for-migrations")
    async with cluster.running(waits) as waiting:
        await waiting.line_matching("Starting database wait process")
        assert await cluster.ended(container(file, "migrate")) == 0
        assert await waiting.wait() == 0
    assert await cluster.administrator.fetchval(LEDGER) == NAMES
    assert await cluster.ended(waits) == 0
    assert await cluster.ended(container(file, "migrate")) == 0


async def test_behind_the_init_container_the_service_needs_no_rights_but_its_own(cluster: Cluster) -> None:
    assert await cluster.ended(container("job.yaml", "migrate")) == 0
    async with cluster.running(container("init-container.yaml", "shop")) as child, talking_to(child) as client:
        await takes_a_note(client)


async def test_the_services_role_cannot_migrate_and_cannot_touch_the_ledger(cluster: Cluster) -> None:
    assert await cluster.ended(container("job.yaml", "migrate")) == 0
    url = cluster.environment(container("init-container.yaml", "shop"))["DATABASE_URL"]
    async with watching(url) as service:
        for statement in (
            "CREATE TABLE public.mine (x int)",
            "ALTER TABLE notes ADD COLUMN mine int",
            "DROP TABLE notes",
            "DELETE FROM ledger.schema_migrations",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
        assert await service.fetchval("SELECT count(*) FROM ledger.schema_migrations") == len(NAMES)


async def test_the_wrong_url_fails_the_job_for_good() -> None:
    job = container("job.yaml", "migrate")
    rule = job.workload["spec"]["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob"
    name, *arguments = job.command
    assert name == "async-migrations"
    wrong = {"DATABASE_URL": "mysql://x"}
    async with module_process("async_migrations", *arguments, environment=wrong, directory=SHOP) as child:
        assert await child.wait() in rule["onExitCodes"]["values"]


@pytest.fixture
def pooled(cluster: Cluster, reachable_path: Path) -> Iterator[Cluster]:
    """Put PgBouncer between, with the settings of the ConfigMap."""
    (config,) = [each for file, each in MANIFESTS if (file, each["kind"]) == ("pgbouncer.yaml", "ConfigMap")]
    parsed = configparser.ConfigParser()
    parsed.read_string(config["data"]["pgbouncer.ini"])
    assert dict(parsed["databases"]) == {"shop": "host=postgres port=5432"}
    ours = {"listen_addr", "listen_port", "auth_type", "auth_file"}
    settings: dict[str, Any] = {key: value for key, value in parsed["pgbouncer"].items() if key not in ours}
    users = reachable_path / "userlist.txt"
    users.write_text(SECRETS["shop-pgbouncer"]["userlist.txt"], "utf-8")
    users.chmod(0o644)
    mode = settings.pop("pool_mode")
    with pgbouncer(cluster.server, mode, user=None, auth_type="trust", auth_file=str(users), **settings) as bouncer:
        cluster.pooler = bouncer.port
        yield cluster


async def test_the_service_goes_through_the_pooler_and_the_migrations_past_it(pooled: Cluster) -> None:
    async with pooled.running(container("lifespan.yaml", "shop")) as child, talking_to(child) as client:
        await ready(client, "/readyz")
        await takes_a_note(client)
    assert await pooled.administrator.fetchval(USERS) == ["shop_app"]
    assert await pooled.ended(container("init-container.yaml", "wait-for-migrations")) == 0
    assert await pooled.administrator.fetchval(LEDGER) == NAMES
