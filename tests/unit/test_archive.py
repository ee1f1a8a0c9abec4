import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from async_migrations.testing.archive import LASTS, archive_for
from async_migrations.testing.binaries import find_binaries, reachable_binaries
from async_migrations.testing.cluster import initialise, make_directory, version_of

Make = Callable[..., bytes]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for temporary files in which nothing is kept yet."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


@pytest.fixture
def make(place: Path, reachable_path: Path) -> Make:
    """Return a function that makes a cluster, and returns the file that no two runs of initdb have in common."""
    assert not list(place.iterdir())

    def make(*, durable: bool = False) -> bytes:
        directory = make_directory(reachable_path / str(len(list(reachable_path.iterdir()))))
        initialise(directory, reachable_binaries(find_binaries(18)), durable=durable)
        assert version_of(directory) == 18
        return (directory / "global" / "pg_control").read_bytes()

    return make


def test_the_second_cluster_is_unpacked(make: Make, place: Path) -> None:
    first = make()
    (archive,) = place.iterdir()
    assert archive.stat().st_mode & 0o077 == 0
    assert make() == first
    assert list(place.iterdir()) == [archive]


def test_what_is_not_thrown_away_is_made_by_initdb(make: Make, place: Path) -> None:
    first = make(durable=True)
    assert not list(place.iterdir())
    kept = make()
    assert len({first, kept, make(durable=True)}) == 3


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
def test_an_archive_that_cannot_be_trusted_is_made_anew(make: Make, place: Path, spoil: Callable[[Path], None]) -> None:
    first = make()
    (archive,) = place.iterdir()
    spoil(archive)
    second = make()
    assert second != first
    assert make() == second
    assert not archive.is_symlink()


def test_without_tar_there_is_none(make: Make, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    assert make() != make()
    assert not list(place.iterdir())


def test_another_time_zone_has_an_archive_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    first = archive_for(find_binaries(18))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert archive_for(find_binaries(18)) != first
    assert archive_for(find_binaries(16)) != archive_for(find_binaries(18))
