"""Where well-known packages keep their models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData

Loader = Callable[[], Sequence[MetaData]]


@dataclass(frozen=True, slots=True)
class Package:
    """A package with models.

    Attributes:
        name: in the registry.
        load: imports its models.
        module: what there must be to import.
        extensions: of PostgreSQL, which the models lean on.
    """

    name: str
    load: Loader
    module: str
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.module) is not None


def _at(*places: str, also: Sequence[str] = ()) -> Loader:
    """Return a loader of metadata at `module:name.of.it`, after `also` is imported."""

    def load() -> list[MetaData]:
        for module in also:
            import_module(module)
        return [_found(place) for place in places]

    return load


def _found(place: str) -> MetaData:
    module, _, path = place.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found if isinstance(found, MetaData) else found.metadata


def _airflow() -> list[MetaData]:
    import_module("airflow.models").import_all_models()
    return [_found("airflow.models.base:Base")]


def _prefect() -> list[MetaData]:
    """Leave out what PostgreSQL refuses: indexes without their operator class, and the second of one name."""
    metadata = _found("prefect.server.database.orm_models:Base")
    for table in metadata.tables.values():
        named = {index.name: index for index in table.indexes if not str(index.name).startswith("trgm_")}
        table.indexes.intersection_update(named.values())
    return [metadata]


def _neutron() -> list[MetaData]:
    return [import_module("neutron.db.migration.models.head").get_metadata()]


def procrastinate_schema() -> str:
    """Return the SQL by which the package makes its tables, functions and triggers."""
    found = find_spec("procrastinate")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "sql" / "schema.sql").read_text("utf-8")


_KEYSTONE = (
    "application_credential assignment credential endpoint_policy federation identity limit oauth1 policy resource "
    "revoke trust catalog"
)

LIGHT = (
    Package("advanced-alchemy", _at("tests.real_models.advanced:Base"), "advanced_alchemy"),
    Package("celery", _at("tests.real_models.queues:metadata", "celery.backends.database.models:Task"), "celery"),
    Package("pgvector", _at("tests.real_models.vectors:metadata"), "pgvector", extensions=("vector",)),
    Package("sqlalchemy-utils", _at("tests.real_models.utils:metadata"), "sqlalchemy_utils"),
)
"""What the tests require."""

HEAVY = (
    Package(
        "aiida-core",
        _at(
            "aiida.storage.psql_dos.models.base:Base",
            also=[f"aiida.storage.psql_dos.models.{each}" for each in ("node", "log", "comment", "group", "settings")],
        ),
        "aiida",
    ),
    Package("apache-airflow-core", _airflow, "airflow"),
    Package("arize-phoenix", _at("phoenix.db.models:Base"), "phoenix"),
    Package("buildbot", _at("buildbot.db.model:Model"), "buildbot"),
    Package(
        "dagster",
        _at(
            "dagster._core.storage.runs.schema:RunStorageSqlMetadata",
            "dagster._core.storage.event_log.schema:SqlEventLogStorageMetadata",
            "dagster._core.storage.schedules.schema:ScheduleStorageSqlMetadata",
        ),
        "dagster",
    ),
    Package("google-adk", _at("google.adk.sessions.schemas.v1:Base"), "google.adk"),
    Package("jupyterhub", _at("jupyterhub.orm:Base"), "jupyterhub"),
    Package(
        "keystone",
        _at("keystone.common.sql.core:ModelBase", also=[f"keystone.{each}.backends.sql" for each in _KEYSTONE.split()]),
        "keystone",
    ),
    Package(
        "langflow-base",
        _at("sqlmodel:SQLModel", also=["langflow.services.database.models"]),
        "langflow",
    ),
    Package(
        "mlflow",
        # PostgreSQL refuses the present ones, which are only altered into being.
        _at("mlflow.store.tracking.dbmodels.initial_models:Base"),
        "mlflow",
    ),
    Package("neutron", _neutron, "neutron"),
    Package("nova", _at("nova.db.main.models:BASE", "nova.db.api.models:BASE"), "nova"),
    Package("optuna", _at("optuna.storages._rdb.models:BaseModel"), "optuna"),
    Package("prefect", _prefect, "prefect"),
)
"""What gets an environment of its own."""

EVERY = {each.name: each for each in (*LIGHT, *HEAVY)}
