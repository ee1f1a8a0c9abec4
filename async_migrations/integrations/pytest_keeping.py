"""What `--keep-databases` adds to pytest: a failed test's databases stay, and its report says where."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

from async_migrations.integrations.pytest_plugin import FAILED, HOME, OWN


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed, before its databases go."""
    report = yield
    if report.failed and report.when != "teardown":
        item.stash[FAILED] = True
        if urls := item.stash.get(OWN, []):
            report.sections.append(("Kept databases", "\n".join([*map(_shown, urls), *_how_to_end(item.config, urls)])))
    return report


def _shown(url: str) -> str:
    from async_migrations.testing.given import without_password

    return without_password(url)


def _how_to_end(config: pytest.Config, urls: Sequence[str]) -> list[str]:
    from sqlalchemy import make_url

    from async_migrations.testing.admin import drop_statement
    from async_migrations.testing.postmaster import running_postmaster

    home = config.stash.get(HOME, None)
    postmaster = running_postmaster(home.data) if home else None
    end = [f"The private server runs on until you end it: kill {postmaster.pid}"] if postmaster else []
    if home and not home.stays:
        return end
    drops = [f"{drop_statement(make_url(url).database or '')};" for url in urls]
    return ["They stay until you drop them:", *drops, *end]
