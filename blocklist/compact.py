"""Values as plain JSON and back, by their type hints: how the cache keeps a register.

A dataclass is the list of its fields, an instant its Unix seconds, a set a sorted list, a mapping with other keys than
texts a list of pairs. What is read here was checked when it was made, and is not checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from blocklist.acts import Act, parse
from blocklist.signing import PublicKey


class Codec(NamedTuple):
    """How values of one type are written and read; None where JSON has the value as it is.

    `layout` tells this form from every other: it names all types and fields.
    """

    write: Callable[[Any], Any] | None
    read: Callable[[Any], Any] | None
    layout: str


_LEAVES: Mapping[object, Codec] = {
    **{plain: Codec(None, None, plain.__name__) for plain in (str, int, bool)},
    datetime: Codec(lambda at: int(at.timestamp()), lambda seconds: datetime.fromtimestamp(seconds, UTC), "instant"),
    PublicKey: Codec(PublicKey.to_base64, PublicKey.from_base64, "key"),
    Act: Codec(lambda act: act.payload().decode(), lambda text: parse(text.encode()), "act"),
}


@cache
def codec(hint: object) -> Codec:
    """The codec of a type.

    Raises:
        TypeError: Values of this type were never meant to be kept.
    """
    if hint in _LEAVES:
        return _LEAVES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType and len(arguments) == 2 and arguments[1] is NoneType:  # X | None
        return _optional(codec(arguments[0]))
    if origin is tuple and arguments[1:] != (...,):
        return _row(tuple, [("", codec(argument)) for argument in arguments])
    if origin in (list, tuple, set, frozenset):
        return _many(origin, codec(arguments[0]))
    if origin in (dict, Mapping):
        return _mapping(*map(codec, arguments))
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint, localns={"Act": Act})
        return _row(hint, [(field.name, codec(hints[field.name])) for field in fields(hint)])
    raise TypeError(f"no codec for {hint}")


def _optional(inner: Codec) -> Codec:
    def wrap(step: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        return step and (lambda value: None if value is None else step(value))

    return Codec(wrap(inner.write), wrap(inner.read), f"{inner.layout}?")


def _many(kind: type, item: Codec) -> Codec:
    """A list, tuple or set of values of one type."""
    order: Callable[[Any], list[Any]] = sorted if kind in (set, frozenset) else list
    write, read = item.write, item.read
    return Codec(
        (lambda values: [write(value) for value in order(values)]) if write else order,
        (lambda values: kind([read(value) for value in values])) if read else kind,
        f"{kind.__name__}[{item.layout}]",
    )


def _mapping(key: Codec, value: Codec) -> Codec:
    """A JSON object where the keys are texts, else pairs."""
    write_key, read_key, write, read = (step or _same for step in (key.write, key.read, value.write, value.read))
    layout = f"{{{key.layout}: {value.layout}}}"
    if key.layout == "str":
        return Codec(
            lambda entries: {name: write(entry) for name, entry in entries.items()},
            lambda entries: {name: read(entry) for name, entry in entries.items()},
            layout,
        )
    return Codec(
        lambda entries: [[write_key(name), write(entry)] for name, entry in entries.items()],
        lambda pairs: {read_key(name): read(entry) for name, entry in pairs},
        layout,
    )


def _row(cls: type, parts: list[tuple[str, Codec]]) -> Codec:
    """A dataclass, or a tuple with a type for each place."""
    names = [name for name, _ in parts]
    writers = [(place, part.write) for place, (_, part) in enumerate(parts) if part.write]
    readers = [(place, part.read) for place, (_, part) in enumerate(parts) if part.read]

    def write(value: Any) -> list[Any]:  # noqa: ANN401  (a value of `cls`)
        row = list(value) if cls is tuple else [getattr(value, name) for name in names]
        for place, step in writers:
            row[place] = step(row[place])
        return row

    def read(row: list[Any]) -> Any:  # noqa: ANN401
        for place, step in readers:
            row[place] = step(row[place])
        return tuple(row) if cls is tuple else cls(**dict(zip(names, row, strict=True)))

    layout = ", ".join(f"{name}: {part.layout}" for name, part in parts)
    return Codec(write, read, f"{cls.__name__}({layout})")


def _same(value: Any) -> Any:  # noqa: ANN401  (any value)
    return value
