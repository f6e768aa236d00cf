"""Times of decoded messages in UTC: JSON may carry any offset. Almost all senders write Z, and for them it is cheap."""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from wardstream.schemas.bad_event import BadEvent

StructT = TypeVar("StructT", bound=msgspec.Struct)


def timed_fields(struct: type[msgspec.Struct]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the fields that are times (or null), and of those that contain times."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    holding = [field for field in info.fields if _holds_time(field.type)]
    plain = tuple(field.name for field in holding if _is_time(field.type))
    return plain, tuple(field.name for field in holding if field.name not in plain)


def _holds_time(kind: inspect.Type) -> bool:
    """Return whether values of a type are, or contain, times."""
    match kind:
        case inspect.DateTimeType():
            return True
        case inspect.Metadata(type=inner) | inspect.DictType(value_type=inner) | inspect.VarTupleType(item_type=inner):
            return _holds_time(inner)
        case inspect.UnionType(types=types):
            return any(map(_holds_time, types))
        case inspect.StructType(fields=fields):
            return any(_holds_time(field.type) for field in fields)
        case _:
            return False


def _is_time(kind: inspect.Type) -> bool:
    """Return whether values of a type are times (or null)."""
    match kind:
        case inspect.Metadata(type=inner):
            return _is_time(inner)
        case inspect.UnionType(types=types):
            return all(isinstance(each, inspect.DateTimeType | inspect.NoneType) for each in types)
        case _:
            return isinstance(kind, inspect.DateTimeType)


def in_utc(message: StructT, names: tuple[str, ...]) -> StructT:
    """Return a copy of the message with all times in the named fields in UTC."""
    fields = {}
    for name in names:
        try:
            fields[name] = _shifted(getattr(message, name))
        except OverflowError:  # before year 1 or after 9999 when in UTC
            break
    else:
        return msgspec.structs.replace(message, **fields)
    raise BadEvent("out_of_bounds", name)


def _shifted(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC)
        case msgspec.Struct():
            return type(value)(**{name: _shifted(getattr(value, name)) for name in value.__struct_fields__})
        case dict():
            return {key: _shifted(item) for key, item in value.items()}
        case tuple():
            return tuple(map(_shifted, value))
        case _:
            return value
