"""Records: dataclasses that are saved as JSON and read back strictly, by pydantic.

Importing pydantic takes a tenth of a second, so that is left to the first record that is saved or
read. Nothing of what is read back is converted: a field's type, its bounds and its name are as
declared, or the error says which is not.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, ClassVar, Self, TypeVar

from annotated_types import Interval

from tf_compleak.types import validators

MOST_KEYS = 10_000  # of one object; pydantic keeps an error for every key that is unknown
SHOWN = 60  # characters of a value that an error repeats
Item, Other = TypeVar("Item"), TypeVar("Other")


class Record:
    """A frozen dataclass with a JSON form; subclasses are dataclasses of such types."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
        "json_schema_serialization_defaults_required": True,
    }

    def to_json(self) -> dict[str, Any]:
        """JSON values; rates are string keys, NaN is None."""
        from pydantic_core import from_json

        return from_json(_adapter(type(self)).dump_json(self, warnings="error"))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
          ValueError: in one line with the path to the field, for what `to_json` would not give.
        """
        from pydantic import ValidationError

        where = cls.__name__.lower()
        _check_breadth(values, where)
        try:
            return _adapter(cls).validate_python(values)
        except ValidationError as error:
            raise ValueError(_first(error, where)) from None

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of what `to_json` gives."""
        from pydantic.json_schema import GenerateJsonSchema

        class Untitled(GenerateJsonSchema):
            def field_title_should_be_set(self, schema) -> bool:
                return False  # a title repeats the field's name

        adapter = _adapter(cls)
        schema = adapter.json_schema(mode="serialization", schema_generator=Untitled)
        return {"$schema": Untitled.schema_dialect, **schema}

    def contradiction(self) -> str:
        """What in these values cannot be true together, "" where all can."""
        return ""

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        from pydantic_core import core_schema

        fields = {**handler(source), "strict": False}  # an object is taken, its values are strict
        name = fields.pop("ref")  # under which every other use finds these checks, too
        return core_schema.no_info_after_validator_function(_consistent, fields, ref=name)


class _Array:
    """A tuple from a list; reading ends at the first wrong item, however many there are."""

    def __get_pydantic_core_schema__(self, source, handler):
        return {**handler(source), "strict": False, "fail_fast": True}


class _ByNumber:
    """A dict whose keys are numbers, from one whose keys are their texts."""

    def __get_pydantic_core_schema__(self, source, handler):
        schema = handler(source)
        keys = {**schema["keys_schema"], "strict": False}
        return {**schema, "keys_schema": keys, "fail_fast": True}


class _Beside:
    """What is saved in files of its own, and refused in JSON."""

    def __get_pydantic_core_schema__(self, source, handler):
        from pydantic_core import core_schema

        def refuse(value: Any) -> None:
            raise ValueError("is no part of the JSON")

        return core_schema.no_info_plain_validator_function(refuse)


class _Json:
    """What anyone may add to; refused where it could not be saved again."""

    def __get_pydantic_core_schema__(self, source, handler):
        from pydantic_core import core_schema, to_json

        def checked(values: dict[str, Any]) -> dict[str, Any]:
            to_json(values)
            return values

        return core_schema.no_info_after_validator_function(checked, handler(source))


class _NullForNan:
    """A finite number, or NaN, which is null in JSON (and NaN in JSON of earlier versions)."""

    def __get_pydantic_core_schema__(self, source, handler):
        from pydantic_core import core_schema

        number = core_schema.float_schema(strict=True, allow_inf_nan=True)
        return core_schema.no_info_after_validator_function(
            _finite_or_nan, core_schema.nullable_schema(number)
        )


class _FileName:
    """A name as `validators.name` takes it, and the letters in `also`."""

    def __init__(self, also: str = ""):
        self.also = also

    def __get_pydantic_core_schema__(self, source, handler):
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core_schema, handler):
        letters = validators.NAME.pattern.replace("-]", f"{self.also}-]")
        return {**handler(core_schema), "pattern": f"^{letters}$"}

    def _checked(self, text: str) -> str:
        validators.name("", text.translate(dict.fromkeys(map(ord, self.also), "-")))
        return text


Count = Annotated[int, Interval(ge=0, le=2**53)]  # what every reader of JSON can hold
Share = Annotated[float, Interval(ge=0, le=1)]
Magnitude = Annotated[float, Interval(ge=0)]
Figure = Annotated[float, _NullForNan()]
Name = Annotated[str, _FileName()]
ExposureName = Annotated[str, _FileName(also=":")]
RemedyName = Annotated[str, _FileName(also=":=")]
Items = Annotated[tuple[Item, ...], _Array()]
Pair = Annotated[tuple[Item, Other], _Array()]
Rates = Annotated[dict[Share, Item], _ByNumber()]
Beside = Annotated[Item | None, _Beside()]
Facts = Annotated[dict[str, Any], _Json()]


def _consistent(record: Record) -> Record:
    if reason := record.contradiction():
        raise ValueError(reason)
    return record


def _finite_or_nan(value: float | None) -> float:
    if value is None or math.isnan(value):
        return math.nan
    if math.isinf(value):
        raise ValueError("must be finite")
    return value


@functools.cache
def _adapter(kind: type[Record]):
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _check_breadth(values: Any, where: str) -> None:
    """Refuse objects of more keys than any record has."""
    waiting = [[values]]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if len(value) > MOST_KEYS:
                raise ValueError(f"{where}: holds an object of {len(value):,} keys.")
            value = value.values()
        waiting += (item for item in value if isinstance(item, (dict, list)))


def _first(error, where: str) -> str:
    """The first of a ValidationError's errors in one line, with the path to the field."""
    details = error.errors(include_url=False, include_context=False)[0]
    path = [f"[{part}]" if isinstance(part, int) else f".{_short(part)}" for part in details["loc"]]
    message = details["msg"].removeprefix("Value error, ").removeprefix(": ").rstrip(".")
    value = details["input"]
    scalar = (
        details["loc"] and details["type"] != "value_error" and not isinstance(value, (dict, list))
    )
    shown = f", got {value[:SHOWN] if isinstance(value, str) else value!a}" if scalar else ""
    return f"{where}{''.join(path)}: {message[:1].lower()}{message[1:]}{_short(shown)}"


def _short(text: str) -> str:
    text = text if text.isascii() and text.isprintable() else ascii(text[:SHOWN])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
