"""Whether what was read back has the types that its dataclass declares, and names as given."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any

from tf_compleak.types import validators


def check(value: Any, kind: Any, where: str) -> None:
    """Raise TypeError, naming the field, unless `value` is of a type.

    Args:
      kind: a class, a dataclass, a union, `Literal`, or a tuple, list or dict of these; whole
        numbers pass as floats, truths as no numbers.
      where: what the error calls the value.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return
    if origin in (typing.Union, types.UnionType):
        _check_union(value, arguments, where)
    elif origin is typing.Literal:
        _require(value in arguments, value, where)
    elif origin is tuple:
        _check_tuple(value, arguments, where)
    elif origin is dict:
        _require(isinstance(value, dict), value, where)
        for key, item in value.items():
            check(key, arguments[0], where)
            check(item, arguments[1], f"{where}.{key}")
    elif dataclasses.is_dataclass(kind):
        _require(type(value) is kind, value, where)
        for name, field in _fields(kind).items():
            check(getattr(value, name), field, f"{where}.{name}")
    elif kind in (int, float):
        number = isinstance(value, int if kind is int else (int, float))
        _require(number and not isinstance(value, bool), value, where)
    else:
        _require(isinstance(value, kind), value, where)


def check_names(report: Any) -> None:
    """Refuse names in a `Report` that no version, attack or exposure can have been given."""
    rows = [*report.results, *report.curve, *report.slices]
    for exposed in report.exposed:
        validators.name("report: exposure", exposed.exposure.replace(":", "-"))
        rows += exposed.results
    for row in rows:
        validators.name("report: attack", row.attack)
    steps = report.marginal.order if report.marginal else ()
    names = {name for row in rows for name in row.release}
    names |= {version.name for version in report.versions} | {step.added for step in steps}
    for name in sorted(names):
        validators.name("report: version", name)


def _check_union(value: Any, kinds: tuple, where: str) -> None:
    if value is None and type(None) in kinds:
        return
    kinds = [kind for kind in kinds if kind is not type(None)]
    if len(kinds) == 1:
        check(value, kinds[0], where)
        return
    for kind in kinds:
        try:
            check(value, kind, where)
        except TypeError:
            continue
        return
    _require(False, value, where)


def _check_tuple(value: Any, kinds: tuple, where: str) -> None:
    _require(isinstance(value, tuple), value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    _require(len(kinds) == len(value), value, where)
    for index, (item, kind) in enumerate(zip(value, kinds, strict=True)):
        check(item, kind, f"{where}[{index}]")


@functools.cache
def _fields(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields that are compared."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.compare}


def _require(holds: bool, value: Any, where: str) -> None:
    if not holds:
        text = ascii(value)
        text = text if len(text) <= 60 else f"{text[:57]}..."
        raise TypeError(f"{where} cannot be {text}")
