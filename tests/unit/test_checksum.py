import ast
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.checksum import python_checksum, raw_checksum, sql_checksum

MIGRATION = '''
"""Migration 002: add settings."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Add settings."""

    async def upgrade(self) -> dict[str, int]:
        """Apply it."""
        # a comment
        await self.execute("CREATE TABLE settings (id integer)")
        return {"tables_created": 1}
'''

# The checksums that ledgers hold. If one of these changes, every ledger would see changed files: the code is
# wrong, and not the number. Each was the same on Python 3.11, 3.12 and 3.13.
GOLDEN = [
    (MIGRATION, "93507eb0cae91c8448be1436f8e9f81fcfc94c0bca8639a5b809a31b4dd98203"),
    ("", "ae53d97cc6b37b84ecce77c193d3d340f12e707af2309ab6fc727c3f45d7ac86"),
    (
        "f'a{x}b' 'c' f'' f'{y!r:>{width}.2}{{}}' '' f'{z=}' f'{u:}'",
        "743dd45fe2176dd58d452bc5934d90929c51c82e088eb11efbcfc0cc04fd5289",
    ),
    (
        "f'''{\n x + 1 }\\N{BULLET} {f\"{a['b']}\"}'''",
        "05f5f05cfaf7147dc9dd4ded1d8c9ce4de016f3bfd9ff312337f0f2901f7f871",
    ),
    (
        "rf'\\d{x}' f'{x:%H:%M}' f'{{{x}}}'",
        "ea309763122da4663ea615fce151d04f0eb692a3c988f29f816fcca6f86c6984",
    ),
    (
        "x = 1_000, 0xff, 10 ** 2, 1e400, -0.0, 1j, 2.5e-3, True, None, ..., b'\\x00a', '\\ud800\\U0001f418'",
        "5f044191f915bc39a32bfc72152efe25bb942c61818c45c75a0087b78eaefa39",
    ),
    ("x = 0x" + "f" * 5000, "251eb349126bddd51caa084a41f06753a97c760be402958387077bea3a09e297"),
    (
        ("def f(a, /, b: int = 1, *c, d=2, **e) -> None:\n    'doc'\nasync def g(): return [i async for i in h()]"),
        "0e47fc8935bfcfbd2428aeec59c9f73bd0fcaf36cefb92e50f6c6715933a8edf",
    ),
    (
        "match x:\n  case {'a': [1, *_], **r} | None: pass\n  case A(b=True) if c: ...\n  case _: y = z",
        "d5cb770da3f485af7243aaf1093c315b2fdba8a802f773144b74e5c9517f8a5e",
    ),
    (
        "try: a\nexcept* E as e: raise X from e\nelse: b\nfinally: c\nwith (a as b, c): d = {**e, 'f': g}",
        "97740523895971f50ed4d5951f07ffc3989ca0146c9b442fa44023a10adef400",
    ),
    (
        (
            "@d\nclass A(B, c=1):\n  x: int\n  y: 'str' = u'z'\n"
            "  (z): int = (w := 3)\n  def m(self): nonlocal_ = lambda *, q: q"
        ),
        "7015a63803efe0a1686cd1e50cab2c2e622eb585ccb08cbaff9ebf909059c5ea",
    ),
    (
        "a[1:2, ::3, *b] = c if not d < e <= f else g @ h; del a; x @= await y; print(*a, sep='é')",
        "3629726e1e914fbbb66d112ca97b7190b4c57cf69842078d941d5e1a7e7b76f3",
    ),
    (
        ("from . import a as b, c\nfrom ...d import *\nimport e.f\nglobal g\nassert h, 'i'\nwhile j: break\nelse: k"),
        "8c0a7b7b7f24ff6f90a2256cdd997b952d538878d295e222df55c6966d8280ba",
    ),
    ("+".join(["'a'"] * 900), "f1c5bb8bd77efb19984552f71491de45789e5d52ff9d7353f3a7ee1e1759efa4"),
]


def test_raw_checksum_is_the_hash_of_the_bytes() -> None:
    assert raw_checksum(b"a\r\n") == hashlib.sha256(b"a\r\n").hexdigest()


@pytest.mark.parametrize(("source", "checksum"), GOLDEN, ids=range(len(GOLDEN)))
def test_python_checksum_is_the_same_for_ever(source: str, checksum: str) -> None:
    assert python_checksum(source) == checksum


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (MIGRATION, MIGRATION.replace("# a comment", "# another")),
        (MIGRATION, MIGRATION.replace("Apply it.", "Do it.").replace("Add settings.", "Settings.")),
        (MIGRATION, MIGRATION.replace('"""Migration 002: add settings."""', "")),
        (MIGRATION, MIGRATION.replace("    ", "\t")),
        (MIGRATION, MIGRATION.replace("\n", "\r\n")),
        (MIGRATION, MIGRATION.replace('"tables_created"', "'tables_created'")),
        (MIGRATION, MIGRATION.replace("(BaseMigration)", "(\n  BaseMigration,\n)")),
        ("def f():\n 'doc'", "def f():\n 'doc'\n pass"),
        ("def f():\n 'doc'", "def f(): pass"),
        ("class A: 'doc'", "class A: pass"),
        ("async def f():\n 'doc'\n return 1", "async def f(): return 1"),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = f'a{b}' 'c' f'd'", "x = f'a{b}cd'"),
        ("x = 255", "x = 0xFF"),
        ("x = (1)", "x = 1"),
        ("x = u'a'", "x = 'a'"),
        ("x = 1  # type: int", "x = 1"),
    ],
)
def test_layout_comments_and_docstrings_do_not_count(ours: str, theirs: str) -> None:
    assert ours != theirs
    assert python_checksum(ours) == python_checksum(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (MIGRATION, MIGRATION.replace("integer", "bigint")),
        (MIGRATION, MIGRATION.replace("upgrade", "downgrade")),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'b61'", "x = b'a'"),
        ("x = 0.0", "x = 0j"),
        ("x = 'None'", "x = None"),
        ("x = [1, 2], 3", "x = [1], 2, 3"),
        ("x = a, b", "x = 'a', 'b'"),
        ("x = b'a', b'a', b'a'", "x = b'a\\xb6\\x1ba',"),
        ("x = {**a}", "x = {None: a}"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = f'{a}b'", "x = f'{a:b}'"),
        ("x = f'{a}'", "x = '{a}'"),
        ("f(a)", "f(*a)"),
        ("from a import b", "from .a import b"),
        ("match x:\n case None: y", "match x:\n case True: y"),
        ("if a:\n b\n c", "if a:\n b\nc"),
        ("def f():\n x = 'doc'", "def f():\n 'doc'"),
        ("[a for b in c]", "[a async for b in c]"),
    ],
)
def test_what_a_file_does_counts(ours: str, theirs: str) -> None:
    assert python_checksum(ours) != python_checksum(theirs)


def test_bytes_are_decoded_as_their_first_line_says() -> None:
    assert python_checksum("# coding: latin-1\nx = 'é'".encode("latin-1")) == python_checksum("x = 'é'")
    assert python_checksum(b"\xef\xbb\xbfx = 1") == python_checksum("x = 1")


@pytest.mark.parametrize("source", ["def", "x = 1\0", b"x = 1\0", b"x = '\xff'"])
def test_what_is_no_python_is_a_syntax_error(source: str | bytes) -> None:
    with pytest.raises(SyntaxError) as raised:
        python_checksum(source, "003_broken.py")
    assert raised.value.filename == "003_broken.py"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_constant_survives_being_written_anew(value: str) -> None:
    assert python_checksum(f"x = {value!r}") == python_checksum(ast.unparse(ast.parse(f"x = {value!a}")))


def test_sql_checksum_ignores_comments_and_white_space() -> None:
    assert sql_checksum("-- description: a\nSELECT  1 ;") == sql_checksum("SELECT /* one */ 1;\n")
    assert sql_checksum("SELECT 'a  b'") != sql_checksum("SELECT 'a b'")


def test_sql_checksum_is_the_same_for_ever() -> None:
    script = "-- x\nCREATE TABLE t (a int, b text DEFAULT 'x  y');\nDO $$ BEGIN\n NULL; END $$;"
    assert sql_checksum(script) == "9b2148be24c7531ab8502ed57f984cc1fc8740444e3a488ad8ad0621ec4dbda2"
