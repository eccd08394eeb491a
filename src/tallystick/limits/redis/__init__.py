"""Exact windows in Redis or Valkey, for many nodes."""

from tallystick.limits.redis.limiter import RedisLimiter
from tallystick.limits.redis.server import LimitsError, LimitsNotUsable, LimitsUnreachable

__all__ = ["LimitsError", "LimitsNotUsable", "LimitsUnreachable", "RedisLimiter"]
