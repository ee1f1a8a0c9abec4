"""Vectors of every kind, with the indexes that its page proposes."""

from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR
from sqlalchemy import Column, Computed, Index, Integer, MetaData, Table, func, text

metadata = MetaData()
items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("embedding", VECTOR(3), nullable=False, server_default=text("'[0,0,0]'")),
    Column("loose", VECTOR()),
    Column("half", HALFVEC(4)),
    Column("sparse", SPARSEVEC(5)),
    Column("bits", BIT(3)),
    Column("norm", VECTOR(3), Computed("l2_normalize(embedding)", persisted=True)),
    Index("ix_half", "half", postgresql_using="hnsw", postgresql_ops={"half": "halfvec_l2_ops"}),
)
Index(
    "ix_hnsw",
    items.c.embedding,
    postgresql_using="hnsw",
    postgresql_with={"m": 16, "ef_construction": 64},
    postgresql_ops={"embedding": "vector_cosine_ops"},
)
Index(
    "ix_flat",
    items.c.embedding,
    postgresql_using="ivfflat",
    postgresql_with={"lists": 10},
    postgresql_ops={"embedding": "vector_ip_ops"},
)
Index(
    "ix_cast",
    func.cast(items.c.embedding, HALFVEC(3)).label("cast"),
    postgresql_using="hnsw",
    postgresql_ops={"cast": "halfvec_l2_ops"},
)
