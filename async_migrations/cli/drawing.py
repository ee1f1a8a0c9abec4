"""A picture of a schema in the format that a file's ending names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from async_migrations.cli import graphviz
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from async_migrations.schema.names import Name
    from async_migrations.schema.snapshot import Snapshot

DRAWN = (".svg", ".png")
WRITTEN = (".mmd", ".dot")


def see_that_it_can_be_drawn(ending: str) -> None:
    """See to it before anything is asked of a database.

    Raises:
        ConfigurationError: it is none of the endings, or Graphviz is not installed.
    """
    if ending not in {*WRITTEN, *DRAWN}:
        raise ConfigurationError(f"A diagram's file ends in {', '.join((*WRITTEN, *DRAWN))}, and not in {ending!r}.")
    if ending in DRAWN:
        graphviz.require(ending)


def drawn(snapshot: Snapshot, wanted: Callable[[str, Name], bool], ending: str) -> bytes:
    """Draw the tables of a schema.

    Args:
        snapshot: the schema.
        wanted: which tables are drawn.
        ending: `.mmd` (Mermaid), `.dot`, `.svg` or `.png`.

    Raises:
        MigrationsError: Graphviz fails.
    """
    from async_migrations.schema import diagram, picture

    if ending == ".mmd":
        return diagram.mermaid(snapshot, wanted).encode()
    if ending == ".svg" and graphviz.program() is None:
        return picture.svg(snapshot, wanted, graphviz.laid_out(picture.graph(snapshot, wanted))).encode()
    graph = diagram.dot(snapshot, wanted)
    return graph.encode() if ending == ".dot" else graphviz.drawn(graph, ending.removeprefix("."))
