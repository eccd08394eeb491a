"""The command line: each command is a client of the service's operations."""

from __future__ import annotations

from tallystick.cli.app import main

__all__ = ("main",)
