from __future__ import annotations

import pytest

from tests.servers.postgres import Postgres


@pytest.mark.parametrize("partitions", [0, 4])
def test_a_database_can_be_made(postgres: Postgres, partitions: int) -> None:
    assert postgres.database(partitions=partitions) != postgres.database(partitions=partitions)
