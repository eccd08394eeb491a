"""Logging: one way out for what we and our libraries have to say.

Lines are for people on a terminal and JSON elsewhere. Before any renderer sees a line, secrets are
removed from it: fields that are named like one, API keys by their shape, and the values that were
configured, wherever they stand, tracebacks included. Nothing is logged per request.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Final

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, TimeStamper, add_log_level, format_exc_info
from structlog.stdlib import ProcessorFormatter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

REMOVED: Final = "[removed]"
_API_KEY: Final = re.compile(r"\b(tsk_[0-9A-Za-z]{4,12})[0-9A-Za-z_]{8,}")
_SECRET_FIELDS: Final = frozenset(
    {"authorization", "secret", "admin_key", "pepper", "password", "secret_sha256"}
)


class Censor:
    """A processor that removes secrets; `known` are values that must not appear anywhere."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = tuple(known)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {
            name: REMOVED if name.lower() in _SECRET_FIELDS else self._clean(value)
            for name, value in event.items()
        }

    def _clean(self, value: object) -> object:
        if not isinstance(value, str):
            # Left alone are the values whose text cannot hold a secret.
            if value is None or isinstance(value, int | float):
                return value
            value = str(value)
        for secret in self._known:
            value = value.replace(secret, REMOVED)
        return _API_KEY.sub(rf"\1…{REMOVED}", value)


def configure(
    *,
    level: str = "info",
    form: str = "auto",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Sends all logging of the process to `stream` (standard error), from `level` up.

    `form` is `text`, `json`, or `auto`: text where the stream is a terminal.
    """
    stream = sys.stderr if stream is None else stream
    least = logging.getLevelNamesMapping()[level.upper()]
    chain: list[Processor] = [
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
        format_exc_info,
        Censor(secrets),
    ]
    renderer = _renderer(form, stream)
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    _take_over_logging(chain, renderer, least, stream)


def _renderer(form: str, stream: TextIO) -> Processor:
    on_terminal = stream.isatty()
    if form == "json" or (form == "auto" and not on_terminal):
        return JSONRenderer(ensure_ascii=False)
    # The renderer's own tracebacks print local variables, secrets and all.
    return ConsoleRenderer(colors=on_terminal, pad_event_to=0, exception_formatter=plain_traceback)


def _take_over_logging(
    chain: list[Processor], renderer: Processor, least: int, stream: TextIO
) -> None:
    """What libraries say through `logging` goes the same way."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # What they do when all is well concerns their authors only.
    root.setLevel(max(least, logging.WARNING))


def logger() -> FilteringBoundLogger:
    """Where a part of the service logs: `logger().warning("event", field=value)`."""
    log: FilteringBoundLogger = structlog.get_logger()
    return log
