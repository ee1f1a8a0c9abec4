"""Steps -> the text of migration files, formatted as `ruff format` does; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from async_migrations.schema import difference as d
from async_migrations.schema.generate.plan import FilePlan
from async_migrations.schema.generate.source import WIDTH, Group, imports_of, printed
from async_migrations.schema.generate.step import Stage, Step

_OWN = "from async_migrations import BaseMigration"
_BODY = 8
SUFFIXES = {
    Stage.LABELS: "labels",
    Stage.MAIN: "",
    Stage.CONCURRENT: "indexes",
    Stage.VALIDATE: "validate",
    Stage.DROP: "drop",
}
_SENTENCES = {
    Stage.LABELS: "labels that the next file uses",
    Stage.CONCURRENT: "built beside running writes",
    Stage.VALIDATE: "rows looked at beside running writes",
    Stage.DROP: "what loses something",
}


def titles(title: str, plans: Sequence[FilePlan]) -> list[str]:
    """Return what each file is called; the only one has the title itself.

    Args:
        title: what all of them do together.
        plans: of the files.
    """
    if len(plans) == 1:
        return [title]
    return [f"{title} {SUFFIXES[each.stage]}".strip() for each in plans]


def description(sentence: str, plan: FilePlan, *, alone: bool) -> str:
    """Return the sentence that the ledger keeps."""
    more = _SENTENCES.get(plan.stage)
    return sentence if alone or more is None else f"{sentence}: {more}"


def text(
    digits: str,
    sentence: str,
    plan: FilePlan,
    left_out: Sequence[d.Difference] = (),
    refused: Sequence[d.Difference] = (),
) -> str:
    """Return the whole file.

    Args:
        digits: its number.
        sentence: what it does.
        plan: its steps.
        left_out: the differences that it does not follow, for a comment.
        refused: those of them that nothing can be done about here.
    """
    calls = [each for step in plan.steps for each in step.up]
    if all(step.down is not None for step in plan.steps):
        calls += [each for step in plan.steps for each in step.down or ()]
    quiet = sentence.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'"""Migration {digits}: {quiet}."""', "", *_imports(calls), "", ""]
    lines += ["class Migration(BaseMigration):", f'    """{quiet}."""', ""]
    if not plan.stage.transactional:
        lines += ["    transactional = False", ""]
    lines += ["    async def upgrade(self) -> None:", *_upgrade(plan.steps), *_left_out(left_out, refused)]
    lines += [*_downgrade(plan.steps)]
    return "\n".join(lines) + "\n"


def _imports(calls: Iterable[Group]) -> Iterator[str]:
    found = {_OWN} | {each for call in calls for each in imports_of(call)}
    yield from sorted(each for each in found if each.startswith("import "))
    names: dict[str, set[str]] = defaultdict(set)
    for each in found:
        if each.startswith("from "):
            module, _, name = each.removeprefix("from ").partition(" import ")
            names[module].add(name)
    for module in sorted(names):
        yield f"from {module} import {', '.join(sorted(names[module]))}"


def _upgrade(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        for remark in step.remarks:
            yield from _comment(remark)
        for each in step.up:
            yield from printed(each, _BODY)


def _downgrade(steps: Sequence[Step]) -> Iterator[str]:
    unknown = sorted({step.reason for step in steps if step.down is None})
    calls = [each for step in reversed(steps) for each in step.down or ()]
    yield ""
    if unknown:
        sentence = f"There is no way back: {'; '.join(unknown)}."
        yield from _comment(sentence, indent=4)
        return
    yield "    async def downgrade(self) -> None:"
    if not calls:
        yield from _comment("What was looked at stays looked at.")
        yield " " * _BODY + "return"
    for each in calls:
        yield from printed(each, _BODY)


def _left_out(left_out: Sequence[d.Difference], refused: Sequence[d.Difference]) -> Iterator[str]:
    lossy = [each for each in left_out if each not in refused]
    titles = {
        "Left out, since something would be lost; allow_destructive=True has it written:": lossy,
        "Left out, since PostgreSQL refuses it as things are:": refused,
    }
    for title, told in titles.items():
        if told:
            yield from _comment(title)
        for each in told:
            yield from _comment(f"- {each}")


def _comment(sentence: str, indent: int = _BODY) -> Iterator[str]:
    """Write a comment, broken between words."""
    line = ""
    for word in " ".join(sentence.split()).split(" "):
        if line and indent + 2 + len(line) + 1 + len(word) > WIDTH:
            yield f"{' ' * indent}# {line}"
            line = "  " + word if sentence.startswith("- ") else word
        else:
            line = f"{line} {word}" if line else word
    yield f"{' ' * indent}# {line}"
