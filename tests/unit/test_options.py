"""What a runner is told: wrong options are sentences, before anything is touched."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from async_migrations.connector import EngineConnector
from async_migrations.errors import ConfigurationError
from async_migrations.options import CHOICES, Limits, Options, Policy


def options(engine: Any) -> Options:
    return Options(EngineConnector(engine), None, Path("migrations"), "schema_migrations", None, Policy(), Limits(), ())


def test_the_policys_defaults_let_a_synchronous_past_through() -> None:
    assert Policy() == Policy(changed="error", missing="warn", out_of_order="warn", unknown="warn")


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("kind", [each.name for each in fields(Policy)])
def test_each_policy_takes_each_choice(kind: str, choice: str) -> None:
    assert getattr(Policy(**{kind: choice}), kind) == choice  # type: ignore[arg-type] # one of the three


@pytest.mark.parametrize("value", ["fail", "", None, True, "WARN"])
@pytest.mark.parametrize("kind", [each.name for each in fields(Policy)])
def test_a_policy_that_is_none_of_three_is_told_the_three(kind: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as failed:
        Policy(**{kind: value})
    assert str(failed.value) == f"The policy {kind}={value!r} is none of error, warn, ignore."


def test_the_limits_defaults() -> None:
    assert Limits() == Limits(
        lock_timeout=5.0,
        statement_timeout=None,
        migration_deadline=None,
        retry_deadline=300.0,
        wait_deadline=600.0,
        connect_deadline=60.0,
    )


@pytest.mark.parametrize("value", [99999999999, 1e12, float("inf")])
@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_a_limit_that_is_too_long_is_told_so(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}=.* is too long: it may be 2147483 seconds"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [-1, -0.001, "5", float("nan"), []])
@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_a_limit_that_is_no_number_of_seconds_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}=.* is no number of seconds\.$"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [0, 0.5, 30, 86_400])
@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_a_limit_is_seconds_whole_or_in_parts(name: str, value: float) -> None:
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["lock_timeout", "statement_timeout", "migration_deadline"])
def test_what_may_take_for_ever_takes_none(name: str) -> None:
    nothing: dict[str, Any] = {name: None}
    assert getattr(Limits(**nothing), name) is None


@pytest.mark.parametrize("name", ["retry_deadline", "wait_deadline", "connect_deadline"])
def test_a_wait_that_must_end_refuses_none(name: str) -> None:
    nothing: dict[str, Any] = {name: None}
    with pytest.raises(ConfigurationError):
        Limits(**nothing)


@pytest.mark.parametrize("name", ["lock_timeout", "statement_timeout", "wait_deadline"])
def test_infinity_is_no_number_of_seconds(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**{name: float("inf")})


def test_options_are_values() -> None:
    with pytest.raises(FrozenInstanceError):
        Limits().lock_timeout = 1.0  # type: ignore[misc] # that it is frozen is the point


def test_an_engine_on_asyncpg_is_taken() -> None:
    engine = create_async_engine("postgresql+asyncpg://localhost/shop")
    assert options(engine).connector == EngineConnector(engine)


def test_no_engine_at_all_is_told_what_is_needed() -> None:
    with pytest.raises(ConfigurationError) as failed:
        options("postgresql://bob:s3cret@localhost/shop")
    assert str(failed.value) == (
        "MigrationRunner needs an AsyncEngine for PostgreSQL over asyncpg, and was given str. Use "
        'create_async_engine("postgresql+asyncpg://…").'
    )


def test_a_synchronous_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="was given Engine"):
        options(create_engine("sqlite://", poolclass=StaticPool))


class _Dialect:
    name = "mysql"
    driver = "asyncmy"


def test_an_engine_for_another_database_is_refused_by_its_name() -> None:
    class Other(AsyncEngine):
        dialect: Any = _Dialect()

        def __init__(self) -> None:
            pass

    with pytest.raises(ConfigurationError, match=r"was given one for mysql\+asyncmy"):
        options(Other())


def test_the_page_on_replicas_names_each_limit_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "replicas.md").read_text()
    for each in fields(Limits):
        default = "none" if each.default is None else f"{each.default:g}"
        assert f"| `{each.name}` | {default} |" in page
