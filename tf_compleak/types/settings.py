"""Settings: dataclasses of flags that are saved, read back and compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from tf_compleak.types.versions import release_from, release_text


@dataclass(frozen=True)
class Settings:
    """What determines a study: each field is a flag of the same name.

    Class attributes:
      growing: fields to which another study may add without being another; see `difference`.
      apart: fields that no figure depends on, in which studies may differ.
      kind: "kind" of the saved form, "" for none.
    """

    growing: ClassVar[tuple[str, ...]] = ()
    apart: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; a release is one text (`release_text`)."""
        values = self.flags(*(field.name for field in dataclasses.fields(self)))
        return {"kind": self.kind, **values} if self.kind else values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What `to_json` made into a dict; ValueError when it is no such dict."""
        try:
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            if fields.pop("kind", cls.kind) != cls.kind:
                raise TypeError("of another kind")
            if "releases" in fields:
                fields["releases"] = tuple(map(release_from, fields["releases"]))
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a study of this version of tf-compleak ({error}).") from error

    def difference(self, other: dict[str, Any]) -> list[str]:
        """One text for each field in which a saved form (`to_json`) differs from this one.

        Fields to which this one only adds (`growing`) are no difference: what was made stays as it
        is. Nor are flags that the other did not know yet and that are at their defaults here.
        """
        mine, saved = self.to_json(), {**self._defaults(), **other}
        keys = [*mine, *(key for key in saved if key not in mine)]
        return [
            f"{key}: {saved.get(key)!r} there, {mine.get(key)!r} here"
            for key in keys
            if mine.get(key) != saved.get(key)
            and key not in self.apart
            and not self._grown(key, mine, saved.get(key))
        ]

    def _defaults(self) -> dict[str, Any]:
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(self)
            if field.default is not dataclasses.MISSING
        }
        return {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}

    def _grown(self, key: str, mine: dict[str, Any], saved: Any) -> bool:
        """Whether a field has all that the saved one had, so that nothing is done anew."""
        if key not in self.growing:
            return False
        if isinstance(saved, bool):
            return mine[key] is True
        if not isinstance(saved, list):
            return False
        if key == "releases" and not (saved and mine[key]):  # none means the default ones
            return False
        return set(saved) <= set(mine[key])

    def flags(self, *names: str) -> dict[str, Any]:
        """The values of some fields, as JSON values."""
        return {name: _saved(name, getattr(self, name)) for name in names}


def _saved(name: str, value: Any) -> Any:
    """A field's value as a JSON value."""
    if name == "releases":
        return [release_text(release) for release in value]
    return list(value) if isinstance(value, tuple) else value
