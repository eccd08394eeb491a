"""The stack most people would write, as somebody who likes it would write it.

FastAPI with pydantic, SQLAlchemy 2 with asyncpg, PostgreSQL, and the package `limits` with its
moving window in Redis. One uvicorn worker, a pool that stays open. What is kept is simpler than
Tallystick's: an account and its usage events, without grants, chain, roll-ups or receipts.

Usual tuning: uvloop and httptools, prepared statements (asyncpg's own), no expiry of objects on
commit, the row of the account locked last and for one statement only, an index for each look-up.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Header, HTTPException, Response
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, ForeignKey, Numeric, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_LIMIT: Final = RateLimitItemPerMinute(1_000_000)
_ALLOWANCE: Final = 1_000_000_000
_CONNECTIONS: Final = 20

engine: Final = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=_CONNECTIONS, max_overflow=0
)
sessions: Final = async_sessionmaker(engine, expire_on_commit=False)
limiter: Final = MovingWindowRateLimiter(
    RedisStorage(os.environ["REDIS_URL"], implementation="redispy")
)


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    remaining: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    consumed: Mapped[Decimal] = mapped_column(Numeric(20, 6))


class ApiKey(Base):
    __tablename__ = "api_keys"
    hash: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))


class UsageEvent(Base):
    __tablename__ = "usage_events"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    credits: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    meter: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Usage(BaseModel):
    id: str = Field(max_length=255)
    credits: Decimal = Field(ge=0, max_digits=16, decimal_places=6)
    meter: str | None = None


class Balance(BaseModel):
    remaining: float
    consumed: float
    total: float


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        account = {"id": 1, "remaining": _ALLOWANCE, "consumed": 0}
        await connection.execute(insert(Account).values(account))
    yield
    await engine.dispose()


app: Final = FastAPI(lifespan=lifespan)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def authenticate(opened: Session, authorization: Annotated[str, Header()]) -> ApiKey:
    wanted = select(ApiKey).where(ApiKey.hash == _digest(authorization))
    found: ApiKey | None = await opened.scalar(wanted)
    if found is None:
        raise HTTPException(401)
    return found


async def limited(key: Annotated[ApiKey, Depends(authenticate)], response: Response) -> ApiKey:
    admitted = await limiter.hit(_LIMIT, key.hash)
    window = await limiter.get_window_stats(_LIMIT, key.hash)
    headers = {
        "X-RateLimit-Limit": str(_LIMIT.amount),
        "X-RateLimit-Remaining": str(window.remaining),
        "X-RateLimit-Reset": str(int(window.reset_time)),
    }
    if not admitted:
        raise HTTPException(429, headers=headers)
    response.headers.update(headers)
    return key


Key = Annotated[ApiKey, Depends(limited)]


@app.get("/v1/organization/credits")
async def get_credits(key: Key, opened: Session) -> Balance:
    account = await opened.get_one(Account, key.account_id)
    return Balance(
        remaining=account.remaining,
        consumed=account.consumed,
        total=account.remaining + account.consumed,
    )


@app.post("/v1/organization/credits/usage", status_code=201)
async def book_usage(usage: Usage, key: Key, opened: Session) -> Balance:
    """One transaction: the id is new, the credits suffice, or nothing has happened."""
    event = insert(UsageEvent).values(account_id=key.account_id, event_id=usage.id)
    event = event.values(credits=usage.credits, meter=usage.meter).on_conflict_do_nothing()
    if (await opened.execute(event)).rowcount == 0:
        raise HTTPException(409)
    booked = await opened.execute(
        update(Account)
        .where(Account.id == key.account_id, Account.remaining >= usage.credits)
        .values(
            remaining=Account.remaining - usage.credits, consumed=Account.consumed + usage.credits
        )
        .returning(Account.remaining, Account.consumed)
    )
    balance = booked.one_or_none()
    if balance is None:
        raise HTTPException(402)
    await opened.commit()
    remaining, consumed = balance
    return Balance(remaining=remaining, consumed=consumed, total=remaining + consumed)


@app.post("/keys", status_code=204)
async def admit_key(opened: Session, authorization: Annotated[str, Header()]) -> None:
    opened.add(ApiKey(hash=_digest(authorization), account_id=1))
    await opened.commit()


def _digest(authorization: str) -> str:
    return sha256(authorization.encode()).hexdigest()
