"""All cases: those of what changes, those of what changes where there are rows, and those of what does not."""

from tests.schema_cases import changed, hindered, moved, rare, unchanged

CHANGED = (*changed.CASES, *hindered.CASES, *rare.CASES)
MOVED = tuple(moved.every())
UNCHANGED = tuple(unchanged.CASES)
