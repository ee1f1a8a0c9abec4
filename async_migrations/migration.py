"""The values that the engine reasons about: a migration's file, a ledger's row, statistics; no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from async_migrations.errors import StatisticsError

COUNTED = ("tables_created", "columns_added", "indexes_created")
"""The statistics that every run sums up; the seed's keys."""


HEAD = "head.txt"
"""The file that holds the last migration's name, so that git sees a conflict when two branches add one."""


class State(StrEnum):
    """Where one migration stands."""

    PENDING = "pending"
    APPLIED = "applied"
    DIRTY = "dirty"  # non-transactional, began, did not finish
    CHANGED = "changed"  # applied, and its file is another now
    MISSING = "missing"  # applied, and its file is gone
    UNKNOWN = "unknown"  # applied by a newer image than this one


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file of the migrations folder, not imported yet.

    Attributes:
        number: the integer NNN.
        name: the file's stem, `NNN_name`; the ledger's key.
        path: the file.
        raw_checksum: hash of its bytes.
        down_path: the `.down.sql` file beside a `.sql` one, if there is one.
    """

    number: int
    name: str
    path: Path
    raw_checksum: str
    down_path: Path | None = None

    @property
    def is_sql(self) -> bool:
        """Whether it is plain SQL."""
        return self.path.suffix == ".sql"


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """One row of the ledger. What an older ledger does not have is None."""

    name: str
    applied_at: datetime | None = None
    description: str | None = None
    execution_time_ms: int | None = None
    checksum: str | None = None
    raw_checksum: str | None = None
    applied_by: str | None = None
    run_id: str | None = None
    dirty: bool = False
    steps: tuple[str, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics(Mapping[str, Any]):
    """What a migration did, in numbers: the seed's three keys, and any other of the author's own.

    Args:
        tables_created: how many tables.
        columns_added: how many columns.
        indexes_created: how many indexes.
        extra: further keys; kept in the ledger and shown.
    """

    tables_created: int = 0
    columns_added: int = 0
    indexes_created: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.as_dict()[key]

    def __iter__(self) -> Any:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(COUNTED) + len(self.extra)

    def as_dict(self) -> dict[str, Any]:
        """Return all keys as one dict, the counted ones first."""
        return {**{key: getattr(self, key) for key in COUNTED}, **self.extra}

    @classmethod
    def of(cls, returned: object) -> Statistics:
        """Read what `upgrade()` returned.

        Args:
            returned: None, a Statistics, or a mapping; a collection counts by its length.

        Raises:
            StatisticsError: it is something else, or holds what cannot be counted.
        """
        if returned is None:
            return cls()
        if not isinstance(returned, Mapping):
            raise StatisticsError(
                f"upgrade() returned {_describe(returned)}, which is no statistics. Return a dict such as "
                '{"tables_created": 1}, a Statistics, or nothing.'
            )
        counted = {key: _count(key, returned.get(key)) for key in COUNTED}
        extra = {_key(key): _extra(key, value) for key, value in returned.items() if key not in COUNTED}
        return cls(**counted, extra=MappingProxyType(extra))


@dataclass(frozen=True, slots=True)
class Report:
    """What one call did.

    Attributes:
        applied: names that this call applied, in order (for a downgrade, reverted).
        waited: seconds spent waiting for another replica.
        duration_ms: the whole call, in milliseconds.
        statistics: `migrations_applied` and the sums over the applied migrations.
    """

    applied: tuple[str, ...] = ()
    waited: float = 0.0
    duration_ms: int = 0
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepairReport(Report):
    """What a repair did; `applied` has all the names, those of changed files whose checksums were taken anew included.

    Attributes:
        recorded: names of dirty migrations that are applied now, since they were finished by hand.
        removed: names of dirty migrations whose rows are gone, so that they run from their beginning.
    """

    recorded: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where one migration stands, for people and for `--json`."""

    name: str
    state: State
    description: str | None = None
    applied_at: datetime | None = None
    execution_time_ms: int | None = None
    applied_by: str | None = None


def total(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum the statistics of several migrations; what cannot be summed is left to its migration."""
    sums: dict[str, Any] = {"migrations_applied": len(each), **dict.fromkeys(COUNTED, 0)}
    for statistics in each:
        for key, value in statistics.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "migrations_applied":
                sums[key] = sums.get(key, 0) + value
    return sums


def _count(key: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return len(list(value))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StatisticsError(
            f"upgrade() returned {key!r}: {_describe(value)}. It must be a number that is not negative, "
            "or a list, which counts by its length."
        )
    return value


def _extra(key: object, value: object) -> object:
    if isinstance(value, Decimal):
        value = float(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, str) and _is_storable(value):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes | str):
        return len(list(value))
    raise StatisticsError(
        f"upgrade() returned {key!r}: {_describe(value)}. A statistic is a number, a text, or a list, "
        "which counts by its length."
    )


def _is_storable(text: str) -> bool:
    """Tell whether JSONB takes it: it holds neither NUL nor half a surrogate pair."""
    return not re.search("[\0\ud800-\udfff]", text)


def _key(key: object) -> str:
    if isinstance(key, str) and _is_storable(key):
        return key
    raise StatisticsError(f"upgrade() returned the key {_describe(key)}. The keys of statistics are texts.")


def _describe(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"[:200]
