"""The page of operations: its examples run, and it names every operation."""

import datetime as dt
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from async_migrations.online import Operations
from tests.support.history import History

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FIRST, *EXAMPLES = BLOCKS

NOT_FOR_AUTHORS = {"run", "statistics"}


def operations() -> set[str]:
    named = {name for name, _ in inspect.getmembers(Operations) if not name.startswith("_")}
    return named - NOT_FOR_AUTHORS


def write_examples(history: History, *, transactional: bool) -> None:
    """Write each block of the page as a migration of its own."""
    (history.directory / "001_shop.py").write_text(FIRST)
    for number, example in enumerate(EXAMPLES, 2):
        head = "import datetime\nimport sqlalchemy as sa\n"
        history.python(f"{number:03}_example", example, top=head, attributes=f"transactional = {transactional}")


def test_the_page_has_an_example_of_every_operation() -> None:
    shown = set(re.findall(r"await self\.op\.(\w+)\(", "".join(BLOCKS)))
    assert operations() - shown == set()
    assert shown - operations() == set()


@pytest.mark.parametrize("transactional", [True, False], ids=["in a transaction", "without one"])
async def test_the_examples_run_in_their_order(history: History, *, transactional: bool) -> None:
    write_examples(history, transactional=transactional)
    report = await history.runner().run_migrations()
    assert len(report.applied) == len(BLOCKS)
    assert report.statistics["tables_created"] == 6
    assert report.statistics["columns_added"] == 4
    assert report.statistics["indexes_created"] == 3
    assert await history.value("SELECT born FROM authors WHERE name = 'Bea'") == dt.date(1990, 2, 3)
    assert not await history.exists("sales")


def test_each_example_says_what_it_does() -> None:
    for example in EXAMPLES:
        assert textwrap.dedent(example).startswith("# ")
