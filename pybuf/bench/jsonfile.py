"""Dataclasses from JSON, every value looked at: files come from other versions, other programs and torn disks."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pybuf.bench.files import check_regular

Record = TypeVar("Record")


class ForeignFileError(ValueError):
    """A file or a value in it that is not what it should be; its text is one line."""


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in the file at ``path``; ``what`` names in the error what was expected there.

    Raises ForeignFileError, one line that names the file.
    """
    try:
        check_regular(path, is_pipe_good=True)
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ForeignFileError(f"{path}: {failure.strerror or failure}; expected {what}") from None
    except (ValueError, RecursionError):  # neither UTF-8 nor JSON, or no end of brackets
        raise ForeignFileError(f"{path}: is not JSON; expected {what}") from None
    if not isinstance(found, dict):
        raise ForeignFileError(f"{path}: is not a JSON object; expected {what}")
    return found


def text_of(value: Any) -> str:
    """``value`` as JSON that a person can read, with a newline at its end."""
    return json.dumps(value, indent=1) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to the file at ``path``, which afterwards is the new one or still the old one, never half."""
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text_of(value))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)


def decode(kind: type[Record], value: Any, where: str = "") -> Record:
    """Make a ``kind``, a dataclass, of plain JSON. Keys that it does not know are left out.

    Raises ForeignFileError that says which value (``where`` it stands) is missing or of another type.
    """
    return typing.cast("Record", _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (one for one in arguments if one is not type(None))
        return _decode(kind, value, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ForeignFileError(f"{where or 'it'} is no object")
        hints = typing.get_type_hints(kind)
        given = {}
        for field in dataclasses.fields(kind):
            inner = f"{where}.{field.name}" if where else field.name
            if field.name in value:
                given[field.name] = _decode(hints[field.name], value[field.name], inner)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ForeignFileError(f"{inner} is missing")
        return typing.cast(Any, kind)(**given)
    if origin is list:
        _expect(value, list, where)
        return [_decode(arguments[0], one, f"{where}[{place}]") for place, one in enumerate(value)]
    if origin is tuple:
        _expect(value, list, where)
        if len(value) != len(arguments):
            raise ForeignFileError(f"{where} has {len(value)} values, expected {len(arguments)}")
        pairs = zip(arguments, value, strict=True)
        return tuple(_decode(one, inner, f"{where}[{place}]") for place, (one, inner) in enumerate(pairs))
    if origin is dict:
        _expect(value, dict, where)
        return {key: _decode(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise ForeignFileError(f"{where} is larger than any number that is measured") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ForeignFileError(f"{where} is {value}, expected a number")
    if kind is float and isinstance(value, float):
        return value
    _expect(value, kind, where)
    return value


def _expect(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ForeignFileError(f"{where} is {type(value).__name__}, expected {kind.__name__}")
