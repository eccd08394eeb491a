"""Settings and where they come from."""

from __future__ import annotations

from tallystick.config.resolve import ConfigError, Resolved, Settings, is_loopback, resolve
from tallystick.config.table import SETTINGS, Setting
from tallystick.config.urls import Url

__all__ = (
    "SETTINGS",
    "ConfigError",
    "Resolved",
    "Setting",
    "Settings",
    "Url",
    "is_loopback",
    "resolve",
)
