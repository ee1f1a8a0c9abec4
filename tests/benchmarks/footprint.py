"""A process that applies a history and prints the most bytes that it held: its arguments are a URL and a folder."""

import asyncio
import resource
import sys
from pathlib import Path

from tests.benchmarks.place import migrate

STATUS = Path("/proc/self/status")
KIB = 1024


def most() -> int:
    """Return the most bytes that this process has held."""
    if STATUS.exists():
        # Not getrusage(), where Linux counts what the process was forked from.
        (line,) = [line for line in STATUS.read_text("utf-8").splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIB)


if __name__ == "__main__":
    _, url, folder = sys.argv
    asyncio.run(migrate(url, Path(folder)))
    print(most())
