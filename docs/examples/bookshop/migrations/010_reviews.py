from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from async_migrations import AutoSchemaMigration, BaseMigration

# The tables as the models had them when this was written. With self.base instead, who starts from an empty database
# next year would get next year's columns here already, and the migrations that add them would fail.
THEN = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})
NOW = {"server_default": func.now(), "nullable": False}

books = Table(
    "books",
    THEN,
    Column("id", Integer, Identity(), primary_key=True),
    Column("isbn", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("price_cents", Integer, nullable=False),
    Column("stock", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), **NOW),
    Column("updated_at", DateTime(timezone=True), **NOW),
    UniqueConstraint("isbn", name="uq_books_isbn"),
    UniqueConstraint("slug", name="uq_books_slug"),
    CheckConstraint("price_cents >= 0", name="ck_books_price_not_negative"),
    CheckConstraint("stock >= 0", name="ck_books_stock_not_negative"),
    Index("ix_books_title_lower", text("lower(title)")),
    # New:
    Column(
        "format",
        Enum("hardcover", "paperback", "ebook", name="book_format"),
        nullable=False,
        server_default="paperback",
    ),
    Column("details", JSONB, nullable=False, server_default="{}"),
    Index("ix_books_details", "details", postgresql_using="gin"),
)
customers = Table(
    "customers",
    THEN,
    Column("id", UUID, primary_key=True, server_default=func.gen_random_uuid()),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), **NOW),
    Index("uq_customers_email_lower", text("lower(email)"), unique=True),
)
reviews = Table(
    "reviews",
    THEN,
    Column("id", Integer, Identity()),
    Column("book_id", ForeignKey("books.id", ondelete="CASCADE", name="fk_reviews_book_id"), nullable=False),
    Column("customer_id", ForeignKey("customers.id", name="fk_reviews_customer_id"), nullable=False, index=True),
    Column("stars", SmallInteger, nullable=False),
    Column("body", Text, nullable=False, server_default=""),
    Column("written_at", DateTime(timezone=True), **NOW),
    PrimaryKeyConstraint("id", name="pk_reviews"),
    UniqueConstraint("book_id", "customer_id", name="uq_reviews_book_id_customer_id"),
    CheckConstraint("stars BETWEEN 1 AND 5", name="ck_reviews_stars_one_to_five"),
)


class Migration(BaseMigration):
    """Add reviews, the format of a book and its details from the models"""

    async def upgrade(self) -> dict[str, int]:
        return await AutoSchemaMigration(self.engine, THEN).run()

    async def downgrade(self) -> None:
        await self.execute("DROP TABLE reviews")
        await self.execute("ALTER TABLE books DROP COLUMN details, DROP COLUMN format")
        await self.execute("DROP TYPE book_format")
