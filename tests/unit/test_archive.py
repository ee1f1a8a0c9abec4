import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from async_migrations.testing.archive import LASTS, archive_for, pack, unpack
from async_migrations.testing.binaries import find_binaries, reachable_binaries
from async_migrations.testing.cluster import initialise, make_directory, version_of
from async_migrations.testing.watchdog import temporary_directory

Make = Callable[..., bytes]


@dataclass(frozen=True)
class Kept:
    """A cluster that initdb has made, by the file that no two of them have in common, and what was kept of it."""

    cluster: bytes
    archive: Path


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with (
        tempfile.TemporaryDirectory() as place,
        temporary_directory() as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(tempfile, "tempdir", place)
        cluster = made(directory / "first")
        (archive,) = Path(place).iterdir()
        patch.undo()
        yield Kept(cluster, archive)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for temporary files in which nothing is kept yet."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


@pytest.fixture
def archive(kept: Kept, place: Path) -> Path:
    """Return what is kept of a cluster, in a place of the test's own."""
    return Path(shutil.copy2(kept.archive, place))


@pytest.fixture
def make(reachable_path: Path) -> Make:
    """Return a function that makes a cluster and returns what tells it from others."""

    def make(*, durable: bool = False) -> bytes:
        return made(reachable_path / str(len(list(reachable_path.iterdir()))), durable=durable)

    return make


def made(directory: Path, *, durable: bool = False) -> bytes:
    initialise(make_directory(directory), reachable_binaries(find_binaries(18)), durable=durable)
    assert version_of(directory) == 18
    return (directory / "global" / "pg_control").read_bytes()


def test_the_second_cluster_is_unpacked(make: Make, place: Path, archive: Path, kept: Kept) -> None:
    assert archive == archive_for(reachable_binaries(find_binaries(18)))
    assert kept.archive.stat().st_mode & 0o077 == 0
    assert make() == kept.cluster
    assert list(place.iterdir()) == [archive]


def test_what_is_not_thrown_away_is_made_by_initdb_and_not_kept(
    make: Make, place: Path, archive: Path, kept: Kept
) -> None:
    before = archive.stat()
    assert make(durable=True) != kept.cluster
    assert (archive.stat().st_ino, list(place.iterdir())) == (before.st_ino, [archive])


def cut(archive: Path) -> None:
    os.truncate(archive, archive.stat().st_size // 2)


def blank(archive: Path) -> None:
    archive.write_bytes(bytes(1 << 20))


def age(archive: Path) -> None:
    long_ago = archive.stat().st_mtime - LASTS - 60
    os.utime(archive, (long_ago, long_ago))


def open_to_others(archive: Path) -> None:
    archive.chmod(0o666)


def link(archive: Path) -> None:
    archive.symlink_to(archive.rename(archive.with_name("elsewhere")))


@pytest.mark.parametrize("spoil", [cut, blank, age, open_to_others, link])
def test_an_archive_that_cannot_be_trusted_is_replaced(
    archive: Path, reachable_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(archive)
    assert not unpack(archive, reachable_path / "old")
    assert not (reachable_path / "old").exists()
    (reachable_path / "another").mkdir()
    (reachable_path / "another" / "PG_VERSION").write_text("new")
    pack(reachable_path / "another", archive)
    assert not archive.is_symlink()
    assert unpack(archive, reachable_path / "new")
    assert (reachable_path / "new" / "PG_VERSION").read_text() == "new"


def test_without_one_that_can_be_trusted_it_is_made_anew(make: Make, archive: Path, kept: Kept) -> None:
    age(archive)
    second = make()
    assert second != kept.cluster
    assert make() == second


def test_without_tar_there_is_none(make: Make, place: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    assert make() != kept.cluster
    assert not list(place.iterdir())


def test_another_time_zone_has_an_archive_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    first = archive_for(find_binaries(18))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert archive_for(find_binaries(18)) != first
    assert archive_for(find_binaries(16)) != archive_for(find_binaries(18))
