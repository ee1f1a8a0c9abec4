from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Keep the average of its stars with each book"""

    async def upgrade(self) -> dict[str, int]:
        await self.execute("ALTER TABLE books ADD COLUMN rating NUMERIC(3, 2)")
        rated = await self.execute(
            "UPDATE books SET rating = reviewed.stars"
            " FROM (SELECT book_id, avg(stars) AS stars FROM reviews GROUP BY book_id) AS reviewed"
            " WHERE reviewed.book_id = books.id"
        )
        return {"books_rated": rated.rowcount}

    async def downgrade(self) -> None:
        await self.execute("ALTER TABLE books DROP COLUMN rating")
