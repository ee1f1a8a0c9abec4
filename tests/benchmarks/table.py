"""One line of the table, and the table."""

from collections.abc import Iterable
from dataclasses import dataclass

HEADINGS = ("What", "Ours", "Bare", "Ratio", "Bound", "Within")
MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        what: What was done.
        ours: What it cost us.
        bare: What the same cost without us.
        ratio: Ours against bare.
        bound: What the ratio may be.
        within: Whether it is; None where there is no bound, or nothing to compare with.
    """

    what: str
    ours: str
    bare: str
    ratio: str
    bound: str = ""
    within: bool | None = None


def timed(what: str, seconds: tuple[float, float], ratio: float, bound: float | None = None) -> Row:
    """Return the row of two times; `ratio` is the median over pairs, so it need not be their quotient."""
    ours, bare = (f"{each / MILLISECOND:,.0f} ms" for each in seconds)
    within = None if bound is None else ratio <= bound
    return Row(what, ours, bare, f"{ratio:.2f}", "" if bound is None else f"≤ {bound:g}", within)


def counted(what: str, ours: float, bare: float, bound: float) -> Row:
    """Return the row of two numbers, whose difference is what counts."""
    return Row(what, f"{ours:g}", f"{bare:g}", f"{ours - bare:+g}", f"≤ +{bound:g}", ours - bare <= bound)


def skipped(what: str, why: str) -> Row:
    """Return the row of a comparison that could not be made."""
    return Row(what, "", why, "")


def markdown(rows: Iterable[Row]) -> str:
    """Write the rows as a table in Markdown."""
    written = [HEADINGS, ("---", "---:", "---:", "---:", "---:", "---"), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in written)


def _cells(row: Row) -> tuple[str, ...]:
    within = {None: "", True: "yes", False: "**no**"}[row.within]
    return row.what, row.ours, row.bare, row.ratio, row.bound, within
