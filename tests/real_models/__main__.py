"""Install well-known packages, each in an environment of its own, and walk their models: a table for the documents."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.real_models.packages import EVERY

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Print the table; exit 1 if any comparison was not silent."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_models", description=__doc__)
    parser.add_argument("packages", nargs="*", default=list(EVERY), help="which; by default all")
    parser.add_argument("--environments", type=Path, help="a directory in which they are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.environments or Path(temporary)
        rows = [row for name in options.packages if (row := _measured(name, place / name))]
    print("| package | version | SQLAlchemy | tables | first | again | differences, created / restored / migrated |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        found = " / ".join(str(len(row[each])) for each in ("created", "restored", "migrated"))
        times = f"{row['first'] * 1000:,.0f} ms | {row['again'] * 1000:,.0f} ms"
        print(f"| {row['name']} | {row['version']} | {row['sqlalchemy']} | {row['tables']} | {times} | {found} |")
    alarms = [
        f"{row['name']}: {each}" for row in rows for way in ("created", "restored", "migrated") for each in row[way]
    ]
    print(*alarms, sep="\n", end="\n" if alarms else "")
    return 1 if alarms or len(rows) < len(options.packages) else 0


def _measured(name: str, environment: Path) -> dict[str, Any] | None:
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"{ROOT}[embedded]", name], check=True)
    command = [str(python), "-W", "ignore", "-m", "tests.real_models.measure", name]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        print(f"{name}: {result.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    answer: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return answer


if __name__ == "__main__":
    sys.exit(main())
