"""What the bookshop says and hears over HTTP."""

import uuid
from decimal import Decimal
from typing import Annotated, Any

from models import Book, BookFormat, Order, OrderStatus
from pydantic import BaseModel, Field, StringConstraints

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Isbn = Annotated[str, StringConstraints(pattern=r"^[0-9]{13}$")]


class NewBook(BaseModel):
    isbn: Isbn
    title: Words
    authors: list[Words] = Field(min_length=1)
    publisher: Words | None = None
    price_cents: int = Field(ge=0)
    stock: int = Field(default=0, ge=0)
    format: BookFormat = BookFormat.PAPERBACK
    details: dict[str, Any] = {}


class BookView(BaseModel):
    isbn: str
    slug: str
    title: str
    authors: list[str]
    publisher: str | None
    format: BookFormat
    price_cents: int
    stock: int
    rating: Decimal | None
    details: dict[str, Any]

    @classmethod
    def of(cls, book: Book) -> "BookView":
        return cls(
            isbn=book.isbn,
            slug=book.slug,
            title=book.title,
            authors=[author.name for author in book.authors],
            publisher=book.publisher.name if book.publisher else None,
            format=book.format,
            price_cents=book.price_cents,
            stock=book.stock,
            rating=book.rating,
            details=book.details,
        )


class Buyer(BaseModel):
    email: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^@\s]+@[^@\s]+$")]
    name: Words


class NewOrder(BaseModel):
    customer: Buyer
    quantities: dict[Isbn, Annotated[int, Field(gt=0)]] = Field(min_length=1)


class OrderView(BaseModel):
    id: int
    customer_id: uuid.UUID
    status: OrderStatus
    total_cents: int

    @classmethod
    def of(cls, order: Order) -> "OrderView":
        total = sum(line.quantity * line.price_cents for line in order.lines)
        return cls(id=order.id, customer_id=order.customer_id, status=order.status, total_cents=total)


class NewReview(BaseModel):
    customer: Buyer
    stars: int = Field(ge=1, le=5)
    body: str = ""


class Health(BaseModel):
    migrations_applied: list[str]
    """What this process applied when it started: nothing, if another was first."""
