"""What is about to change or to go, as the catalog tells who leans on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple


class Place(NamedTuple):
    """A column, by the oid of its relation and its number; or a type, by its own oid and 0.

    Attributes:
        whole: whether it is dropped and takes everything with it. A column that only changes to an unrelated type
            takes its checks, exclusions and foreign keys, and indexes with an expression or a predicate; others the
            server rebuilds.
        catalog: where the oid is found.
    """

    oid: int
    number: int
    whole: bool = True
    catalog: Literal["pg_class", "pg_type"] = "pg_class"


def listed(places: Iterable[Place]) -> str:
    """Write places as the rows of VALUES: (catalog, oid, number, whole), as `pg_depend` writes the first three."""
    return ", ".join(
        f"('{each.catalog}'::regclass, {each.oid:d}::oid, {each.number:d}::smallint, {each.whole})" for each in places
    )
