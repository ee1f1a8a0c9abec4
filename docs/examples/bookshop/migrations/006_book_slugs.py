import re
import unicodedata

from sqlalchemy import text

from async_migrations import BaseMigration

BATCH = 1000


def slug(title: str, isbn: str) -> str:
    """What SQL cannot do well: letters without accents, and the ISBN to tell equal titles apart."""
    plain = unicodedata.normalize("NFKD", title.replace("Œ", "Oe").replace("œ", "oe"))
    words = re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode().lower())
    return "-".join([*words, isbn])


class Migration(BaseMigration):
    """Give every book an address of its own"""

    async def upgrade(self) -> dict[str, int]:
        await self.execute("ALTER TABLE books ADD COLUMN slug TEXT")
        written = await self.write_slugs()
        # Only now that every row has one can the column promise it.
        await self.execute("ALTER TABLE books ALTER COLUMN slug SET NOT NULL")
        await self.execute("ALTER TABLE books ADD CONSTRAINT uq_books_slug UNIQUE (slug)")
        return {"columns_added": 1, "indexes_created": 1, "slugs_written": written}

    async def write_slugs(self) -> int:
        rows = (await self.execute("SELECT id, title, isbn FROM books")).all()
        slugs = [{"id": row.id, "slug": slug(row.title, row.isbn)} for row in rows]
        for start in range(0, len(slugs), BATCH):
            batch = slugs[start : start + BATCH]
            await self.connection.execute(text("UPDATE books SET slug = :slug WHERE id = :id"), batch)
            self.log_debug(f"{start + len(batch)} of {len(slugs)}")
        return len(slugs)

    async def downgrade(self) -> None:
        await self.execute("ALTER TABLE books DROP COLUMN slug")
