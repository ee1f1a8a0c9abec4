"""A table with every type of sqlalchemy-utils that needs nothing else."""

from typing import Any

import sqlalchemy_utils as u
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, cast, func

metadata = MetaData()
_TYPES: dict[str, Any] = {
    "choice": u.ChoiceType([("a", "A"), ("b", "B")]),
    "number": u.ChoiceType([(1, "one")], impl=Integer()),
    "email": u.EmailType(),
    "address": u.IPAddressType(),
    "json": u.JSONType(),
    "list": u.ScalarListType(int),
    "search": u.TSVectorType("email", regconfig="pg_catalog.simple"),
    "url": u.URLType(),
    "uuid": u.UUIDType(),
    "raw": u.UUIDType(binary=False),
}
things = Table(
    "things",
    metadata,
    Column("id", Integer, primary_key=True),
    *(Column(name, type_) for name, type_ in _TYPES.items()),
)
Index("ix_search", things.c.search, postgresql_using="gin")
Index("ix_email", func.lower(cast(things.c.email, Text)), unique=True)
