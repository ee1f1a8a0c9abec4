"""A service on advanced-alchemy: its mixins and types, but for `JsonB`, which fails with SQLAlchemy 2.1 by itself."""

from typing import Any

from advanced_alchemy import mixins, types
from advanced_alchemy.base import BigIntAuditBase, DefaultBase, UUIDAuditBase, UUIDv7Base
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

Base = DefaultBase
"""All bases of the package have one metadata in common."""


class Author(UUIDAuditBase, mixins.SlugKey, mixins.SentinelMixin):
    name: Mapped[str] = mapped_column(index=True, comment="As it's printed")
    secret: Mapped[str | None] = mapped_column(types.EncryptedString(key="k"))


class Book(UUIDv7Base):
    author_id: Mapped[Any] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))
    seen: Mapped[Any] = mapped_column(types.DateTimeUTC, nullable=True)


class Sale(BigIntAuditBase):
    book_id: Mapped[Any] = mapped_column(types.GUID, ForeignKey("book.id"))
    number: Mapped[int] = mapped_column(types.BigIntIdentity, unique=True)


class Shelf(mixins.IdentityPrimaryKey, DefaultBase):
    full: Mapped[bool] = mapped_column(types.Bool, default=False)


class Label(mixins.BigIntPrimaryKey, mixins.AuditColumns, DefaultBase):
    text: Mapped[str] = mapped_column(types.EncryptedText(key="k"))
