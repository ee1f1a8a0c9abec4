from async_migrations import AutoSchemaMigration, BaseMigration


class Migration(BaseMigration):
    """Add reviews, the format of a book and its details from the models"""

    # Auto schema adds all that the models have by then and the database lacks. Whoever starts from an empty
    # database next year gets next year's columns here already, so that the migrations after this one say
    # IF NOT EXISTS.
    async def upgrade(self) -> dict[str, int]:
        return await AutoSchemaMigration(self.engine, self.base).run()

    async def downgrade(self) -> None:
        await self.execute("DROP TABLE reviews")
        await self.execute("ALTER TABLE books DROP COLUMN details, DROP COLUMN format")
        await self.execute("DROP TYPE book_format")
