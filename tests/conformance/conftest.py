"""What the conformance tests share: the histories, and the launcher of replicas."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.replicas import Launcher, launching

HISTORIES = Path(__file__).parents[1] / "histories"
FLEET_INDEXES = ["ix_customers_email", "ix_orders_customer", "ix_orders_total"]
"""What the concurrent indexes of `fleet` are called."""


@pytest.fixture
def fleet() -> Path:
    """Return seven migrations of all kinds; the fourth and the fifth build indexes concurrently."""
    return HISTORIES / "fleet"


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    async with launching() as launcher:
        yield launcher
