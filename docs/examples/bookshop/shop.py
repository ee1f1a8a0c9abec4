"""What happens in the bookshop: each function works in the transaction of the session it is given."""

import re
import unicodedata
from collections.abc import Sequence

from models import Author, Book, Customer, Order, OrderLine, OrderStatus, Publisher, Review
from schemas import Buyer, NewBook, NewOrder, NewReview
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

# Ordered as the index is that migration 004 builds.
BOOKS = (
    select(Book)
    .options(selectinload(Book.authors), joinedload(Book.publisher))
    .order_by(func.lower(Book.title), Book.id)
)


class RefusedError(Exception):
    """The shop cannot do that; the text says why."""


class UnknownError(RefusedError):
    """There is no such thing in the shop."""


def slug(title: str, isbn: str) -> str:
    plain = unicodedata.normalize("NFKD", title.replace("Œ", "Oe").replace("œ", "oe"))
    words = re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode().lower())
    return "-".join([*words, isbn])


async def search(session: AsyncSession, words: str | None, tag: str | None) -> Sequence[Book]:
    found = BOOKS
    if words:
        wanted = words.lower()
        by_title = func.lower(Book.title).contains(wanted, autoescape=True)
        by_author = Book.authors.any(func.lower(Author.name).contains(wanted, autoescape=True))
        found = found.where(or_(by_title, by_author))
    if tag:
        found = found.where(Book.details.contains({"tags": [tag]}))
    return (await session.scalars(found)).all()


async def book_by_isbn(session: AsyncSession, isbn: str) -> Book:
    book = (await session.scalars(BOOKS.where(Book.isbn == isbn))).one_or_none()
    if book is None:
        raise UnknownError(f"There is no book with the ISBN {isbn}.")
    return book


async def add_book(session: AsyncSession, new: NewBook) -> Book:
    book = Book(
        **new.model_dump(exclude={"authors", "publisher"}),
        slug=slug(new.title, new.isbn),
        publisher=await publisher_named(session, new.publisher) if new.publisher else None,
        authors=await authors_named(session, new.authors),
    )
    session.add(book)
    try:
        await session.flush()
    except IntegrityError as error:
        raise RefusedError(f"There is a book with the ISBN {new.isbn} already.") from error
    return book


async def authors_named(session: AsyncSession, names: list[str]) -> list[Author]:
    # Two books of a new author may arrive at one moment, so that the database decides who is first.
    rows = [{"name": name} for name in names]
    await session.execute(insert(Author).values(rows).on_conflict_do_nothing())
    found = select(Author).where(Author.name.in_(names)).order_by(Author.name)
    return list((await session.scalars(found)).all())


async def publisher_named(session: AsyncSession, name: str) -> Publisher:
    await session.execute(insert(Publisher).values(name=name).on_conflict_do_nothing())
    return (await session.scalars(select(Publisher).where(Publisher.name == name))).one()


async def customer_of(session: AsyncSession, buyer: Buyer) -> Customer:
    await session.execute(insert(Customer).values(email=buyer.email, full_name=buyer.name).on_conflict_do_nothing())
    found = select(Customer).where(func.lower(Customer.email) == buyer.email.lower())
    return (await session.scalars(found)).one()


async def place_order(session: AsyncSession, new: NewOrder) -> Order:
    customer = await customer_of(session, new.customer)
    # In one order for everybody, so that two orders for the same books wait and do not deadlock.
    wanted = select(Book).where(Book.isbn.in_(new.quantities)).order_by(Book.id).with_for_update()
    stocked = {book.isbn: book for book in await session.scalars(wanted)}
    order = Order(customer_id=customer.id, lines=[])
    for isbn, quantity in new.quantities.items():
        order.lines.append(take_from_shelf(stocked.get(isbn), isbn, quantity))
    session.add(order)
    await session.flush()
    return order


def take_from_shelf(book: Book | None, isbn: str, quantity: int) -> OrderLine:
    if book is None:
        raise UnknownError(f"There is no book with the ISBN {isbn}.")
    if book.stock < quantity:
        raise RefusedError(f"Only {book.stock} of {book.title!r} are left, not {quantity}.")
    book.stock -= quantity
    return OrderLine(book_id=book.id, quantity=quantity, price_cents=book.price_cents)


async def refund(session: AsyncSession, order_id: int, *, returned: bool = False) -> Order:
    found = select(Order).where(Order.id == order_id).options(selectinload(Order.lines)).with_for_update()
    order = (await session.scalars(found)).one_or_none()
    if order is None:
        raise UnknownError(f"There is no order {order_id}.")
    if order.refunded_at is not None:
        raise RefusedError(f"Order {order_id} is {order.status} already.")
    now = await session.scalar(select(func.now()))
    order.status, order.refunded_at = OrderStatus.RETURNED if returned else OrderStatus.REFUNDED, now
    for line in order.lines if returned else ():
        # Added by the database, since the same book may be sold at this moment.
        await session.execute(update(Book).where(Book.id == line.book_id).values(stock=Book.stock + line.quantity))
    await session.flush()
    return order


async def review(session: AsyncSession, isbn: str, new: NewReview) -> Book:
    book = await book_by_isbn(session, isbn)
    customer = await customer_of(session, new.customer)
    said = {"book_id": book.id, "customer_id": customer.id, "stars": new.stars, "body": new.body}
    latest = insert(Review).values(said)
    await session.execute(
        latest.on_conflict_do_update(
            index_elements=["book_id", "customer_id"],
            set_={"stars": latest.excluded.stars, "body": latest.excluded.body},
        )
    )
    stars = select(func.avg(Review.stars)).where(Review.book_id == book.id).scalar_subquery()
    await session.execute(update(Book).where(Book.id == book.id).values(rating=stars))
    await session.refresh(book, ["rating"])
    return book
