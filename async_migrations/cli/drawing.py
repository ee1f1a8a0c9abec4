"""A picture of a schema in the format that a file's ending names."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from async_migrations.errors import ConfigurationError, MigrationsError

if TYPE_CHECKING:
    from async_migrations.schema.names import Name
    from async_migrations.schema.snapshot import Snapshot

DRAWN = (".svg", ".png")
WRITTEN = (".mmd", ".dot")
PATIENCE = 60.0
"""Seconds for a drawing."""


def see_that_it_can_be_drawn(ending: str) -> None:
    """See to it before anything is asked of a database.

    Raises:
        ConfigurationError: it is none of the endings, or Graphviz is not installed.
    """
    if ending not in {*WRITTEN, *DRAWN}:
        raise ConfigurationError(f"A diagram's file ends in {', '.join((*WRITTEN, *DRAWN))}, and not in {ending!r}.")
    if ending in DRAWN:
        _program()


def drawn(snapshot: Snapshot, wanted: Callable[[str, Name], bool], ending: str) -> bytes:
    """Draw the tables of a schema.

    Args:
        snapshot: the schema.
        wanted: which tables are drawn.
        ending: `.mmd` (Mermaid), `.dot`, `.svg` or `.png`.

    Raises:
        ConfigurationError: another ending, or Graphviz is not installed.
        MigrationsError: Graphviz fails.
    """
    from async_migrations.schema import diagram

    if ending == ".mmd":
        return diagram.mermaid(snapshot, wanted).encode()
    graph = diagram.dot(snapshot, wanted).encode()
    return graph if ending == ".dot" else _by_graphviz(graph, ending.removeprefix("."))


def _by_graphviz(graph: bytes, form: str) -> bytes:
    program = _program()
    resolution = ["-Gdpi=144"] if form == "png" else []
    try:
        done = subprocess.run(  # noqa: S603 - what `which` found, with no word of the user's
            [program, f"-T{form}", *resolution], input=graph, capture_output=True, check=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise MigrationsError(
            f"Graphviz did not draw this in {PATIENCE:g} s. Name the tables to draw, or write .dot and draw it apart."
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise MigrationsError(f"Graphviz refuses to draw: {said[-1] if said else error.returncode}.") from error
    return done.stdout


def _program() -> str:
    program = shutil.which("dot")
    if program is None:
        raise ConfigurationError(
            "Graphviz draws SVG and PNG, and its program dot is not installed. Install it (apt-get install graphviz, "
            "brew install graphviz), or write Mermaid: a FILE that ends in .mmd."
        )
    return program
