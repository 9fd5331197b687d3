"""Column types that mean the same on SQLite and Postgres.

Times are aware and UTC on both sides, whatever the database keeps. Texts and JSON are stored without NUL and lone
surrogates, which Postgres refuses: each becomes U+FFFD, so that what generated code printed never costs a row.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from fleet_rlm.core.errors import UserError

Id = String(64)
Name = String(200)
Number = BigInteger()

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The same JSON value or text, without the characters a database refuses and with null for what is no number.

    Raises:
        UserError: it is no JSON value.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    raise UserError(f"the store keeps JSON values; turn the {type(value).__name__} into text, numbers, lists and dicts")


class Words(TypeDecorator[str]):
    """Text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Without what Postgres refuses."""
        return storable(value)  # type: ignore[no-any-return]


class Document(TypeDecorator[Any]):
    """A JSON value: JSONB on Postgres, text on SQLite. None is SQL NULL."""

    impl = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Without what Postgres refuses."""
        return storable(value)


class Moment(TypeDecorator[datetime.datetime]):
    """A point in time: aware, UTC, microseconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """UTC; SQLite keeps no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise UserError(f"the store takes aware times only; {value.isoformat()} has no time zone")
        value = value.astimezone(datetime.UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Aware again."""
        if value is None:
            return None
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)


def now() -> datetime.datetime:
    """This moment, as the store keeps it."""
    return datetime.datetime.now(datetime.UTC)


def moment(microseconds: int) -> datetime.datetime:
    """The point in time an event names, exactly."""
    return datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=microseconds)
