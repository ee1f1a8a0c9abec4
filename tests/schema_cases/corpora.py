"""All cases: those of what changes, and those of what does not."""

from tests.schema_cases import changed, hindered, moved, rare, unchanged

CHANGED = (*changed.CASES, *moved.every(), *hindered.CASES, *rare.CASES)
UNCHANGED = tuple(unchanged.CASES)
