"""What holds for every history of migrations, and what holds for single ones of the bookshop."""

import pytest

from async_migrations.testing import BeforeMigration
from async_migrations.testing.ready_made import *  # noqa: F403

# The way back of 007 leaves its label in the enum, where nothing uses it.
del test_downgrade_leads_back  # noqa: F821


async def test_a_book_without_an_address_gets_one(before_migration: BeforeMigration) -> None:
    async with before_migration("006_book_slugs") as migration:
        await migration.execute(
            "INSERT INTO books (isbn, title, price_cents) VALUES (:isbn, :title, 700)",
            isbn="9782070411207",
            title="Bel-Ami",
        )

        await migration.apply()

        assert await migration.rows("SELECT slug FROM books WHERE isbn = '9782070411207'") == [
            ("bel-ami-9782070411207",)
        ]


@pytest.mark.parametrize("status", ["placed", "cancelled"])
async def test_orders_from_before_refunds_are_none(before_migration: BeforeMigration, status: str) -> None:
    async with before_migration("008") as migration:
        await migration.execute("INSERT INTO customers (email, name) VALUES ('ada@example.org', 'Ada')")
        await migration.execute(
            "INSERT INTO orders (customer_id, status) SELECT id, CAST(:status AS order_status) FROM customers",
            status=status,
        )

        await migration.apply()

        assert await migration.rows("SELECT status::text, refunded_at FROM orders") == [(status, None)]
