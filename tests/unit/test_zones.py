"""Time zones come from the packaged data and from nowhere else."""

from __future__ import annotations

import shutil
import zoneinfo
from datetime import datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from tallystick.domain import periods
from tallystick.domain.periods import InvalidSchedule, load_zone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    "key",
    [
        *("", " ", ".", "..", "../etc", "../../etc/passwd", "/etc/localtime", "localtime"),
        *("posixrules", "Europe", "Europe/", "Europe/Paris/", "Europe//Paris", "europe/paris"),
        *("Europe/../Europe/Paris", "Europe\\Paris", "Europe/Paris\x00", "Europe/Paris\n"),
        *("__init__.py", "zone.tab", "tzdata.zi", "leapseconds", "UTC+1", "\ud800", "CEST"),
    ],
)
def test_only_a_listed_key_is_a_zone(key: str) -> None:
    with pytest.raises(InvalidSchedule, match="is not an IANA time zone") as caught:
        load_zone(key)
    assert repr(key) in str(caught.value)
    str(caught.value).encode()


def test_a_huge_key_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidSchedule) as caught:
        load_zone("x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_a_zone_is_read_once() -> None:
    assert load_zone("Europe/Paris") is load_zone("Europe/Paris")


def test_every_listed_zone_can_be_read() -> None:
    for key in (resources.files("tzdata") / "zones").read_text().split():
        assert load_zone(key).key == key


@pytest.mark.usefixtures("misleading_system_zones")
def test_the_machines_own_zone_data_is_never_read() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=load_zone("Europe/Paris"))
    assert noon.utcoffset() == timedelta(hours=2)


@pytest.fixture
def misleading_system_zones(tmp_path: Path) -> Iterator[None]:
    """A machine whose own data calls Tokyo's time Paris's."""
    (tmp_path / "Europe").mkdir()
    with resources.as_file(resources.files("tzdata") / "zoneinfo/Asia/Tokyo") as tokyo:
        shutil.copy(tokyo, tmp_path / "Europe/Paris")
    zoneinfo.reset_tzpath(to=[tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    periods._packaged_zone.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    periods._packaged_zone.cache_clear()
