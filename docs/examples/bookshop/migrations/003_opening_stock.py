from datetime import date

from sqlalchemy import text

from async_migrations import BaseMigration

AUTHORS = [
    {"name": "Ada Lovelace", "born": date(1815, 12, 10)},
    {"name": "Émile Zola", "born": date(1840, 4, 2)},
    {"name": "Friedrich Engels", "born": date(1820, 11, 28)},
    {"name": "Karl Marx", "born": date(1818, 5, 5)},
    {"name": "Mary Shelley", "born": date(1797, 8, 30)},
]

BOOKS = [
    {"isbn": "9780141439471", "title": "Frankenstein", "price_cents": 799, "stock": 12},
    {"isbn": "9780140447804", "title": "L'Œuvre", "price_cents": 1099, "stock": 4},
    {"isbn": "9780140447422", "title": "Germinal", "price_cents": 999, "stock": 7},
    {"isbn": "9780140447576", "title": "The Communist Manifesto", "price_cents": 499, "stock": 20},
    {"isbn": "9781108035132", "title": "Sketch of the Analytical Engine", "price_cents": 1500, "stock": 1},
]

WRITTEN_BY = [
    {"isbn": "9780141439471", "name": "Mary Shelley"},
    {"isbn": "9780140447804", "name": "Émile Zola"},
    {"isbn": "9780140447422", "name": "Émile Zola"},
    {"isbn": "9780140447576", "name": "Karl Marx"},
    {"isbn": "9780140447576", "name": "Friedrich Engels"},
    {"isbn": "9781108035132", "name": "Ada Lovelace"},
]


class Migration(BaseMigration):
    """Put the first books on the shelves"""

    # Plain tables and not the models: the models belong to today's code, and this file must still work
    # when they have long changed.
    async def upgrade(self) -> dict[str, int]:
        await self.connection.execute(
            text("INSERT INTO authors (name, born) VALUES (:name, :born) ON CONFLICT DO NOTHING"), AUTHORS
        )
        await self.connection.execute(
            text(
                "INSERT INTO books (isbn, title, price_cents, stock)"
                " VALUES (:isbn, :title, :price_cents, :stock) ON CONFLICT DO NOTHING"
            ),
            BOOKS,
        )
        await self.connection.execute(
            text(
                "INSERT INTO book_authors (book_id, author_id)"
                " SELECT books.id, authors.id FROM books, authors"
                " WHERE books.isbn = :isbn AND authors.name = :name ON CONFLICT DO NOTHING"
            ),
            WRITTEN_BY,
        )
        return {"books_stocked": len(BOOKS)}

    async def downgrade(self) -> None:
        isbns = [book["isbn"] for book in BOOKS]
        unsold = "NOT EXISTS (SELECT FROM order_lines WHERE order_lines.book_id = books.id)"
        gone = await self.execute(f"DELETE FROM books WHERE isbn = ANY(:isbns) AND {unsold}", {"isbns": isbns})
        self.log_info(f"Took {gone.rowcount} unsold book(s) off the shelves")
