"""What a database URL has to say."""

from __future__ import annotations

import pytest

from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.postgres.connect import Database

HERE = [
    "postgresql:///ledger",
    "postgres://service@localhost/ledger",
    "postgresql://service:secret@127.0.0.1:5433/ledger",
    "postgresql://service@[::1]:5432/ledger",
    "postgresql://service@%2Fvar%2Frun%2Fpostgresql/ledger",
    "postgresql:///ledger?host=/var/run/postgresql",
]
ELSEWHERE = [
    "postgresql://service:secret@db.example/ledger",
    "postgresql://service:secret@10.0.0.7:5432/ledger",
    "postgresql://service:secret@localhost,db.example:5433/ledger",
    "postgresql:///ledger?host=db.example",
    "postgresql://service@[2001:db8::7]/ledger",
]


@pytest.mark.parametrize("url", HERE)
def test_a_server_on_this_machine_needs_no_more(url: str) -> None:
    assert Database(url=url).url == url


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_server_elsewhere_needs_a_word_on_protection(url: str) -> None:
    with pytest.raises(StoreNotUsable, match="sslmode=verify-full") as refused:
        Database(url=url)
    assert "secret" not in str(refused.value)
    mark = "&" if "?" in url else "?"
    for mode in ("verify-full", "disable"):
        Database(url=f"{url}{mark}sslmode={mode}")


@pytest.mark.parametrize("url", ["", "ledger", "mysql://localhost/ledger", "sqlite:///ledger.db"])
def test_what_is_no_url_of_postgresql(url: str) -> None:
    with pytest.raises(StoreNotUsable, match="postgresql://"):
        Database(url=url)
