"""Validators: each raises a ValueError that names the argument, its value and the remedy."""

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np

NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}")


def choice(argument: str, value: str, options: Iterable[str]) -> str:
    """`value` if it is one of `options`; else a ValueError with the nearest option."""
    options = list(options)
    if value in options:
        return value
    near = difflib.get_close_matches(value, options, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: unknown {value!r}.{hint} Known: {', '.join(options)}.")


def name(argument: str, value: str) -> str:
    """`value` if it can name a file as it is: of a version, an attack, an exposure's folder.

    Raises:
      ValueError: unless it is 1 to 80 letters, digits or any of `._+-`, the first neither `.`
        nor `-`.
    """
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    text = ascii(value)
    text = text if len(text) <= 100 else f"{text[:97]}..."
    raise ValueError(
        f"{argument}: {text} cannot be a name; use 1 to 80 letters (a-z, A-Z), digits and ._+-, "
        "not beginning with . or -."
    )


def version(argument: str, value: str) -> str:
    """`value` if it can name a version: see `name`; without +, which joins a release's versions."""
    if "+" in name(argument, value):
        raise ValueError(
            f"{argument}: {value!r} cannot be a version's name: + joins the versions of a release, "
            f"as in original+int8; call it {value.replace('+', '-').lstrip('-')!r}."
        )
    return value


def between(argument: str, value: float, low: float, high: float) -> float:
    """`value` if low <= value <= high (NaN is refused)."""
    if not low <= value <= high:
        raise ValueError(f"{argument}: must lie between {low:g} and {high:g}, got {value!r}.")
    return value


def at_least(argument: str, value: float, low: float) -> float:
    """`value` if it is `low` or more."""
    if not value >= low:
        raise ValueError(f"{argument}: must be at least {low:g}, got {value!r}.")
    return value


def distinct(argument: str, values: Sequence) -> None:
    """Refuse repeated values, naming the first of them; objects are compared as text."""
    array = np.asarray(values)
    array = array.astype(str) if array.dtype.kind == "O" else array
    unique, counts = np.unique(array, return_counts=True)
    if len(unique) != len(array):
        first = unique[counts > 1][0]
        repeated = int((counts > 1).sum())
        raise ValueError(
            f"{argument}: {repeated} value(s) occur more than once (first: {first}); "
            "every value must be unique."
        )


def finite(argument: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity, saying how many there are and where the first one is."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{argument}: {int(bad.sum())} value(s) are NaN or infinite (first at index {where}); "
            "clean or drop these examples."
        )


def floats(argument: str, array: np.ndarray) -> np.ndarray:
    """The numbers as f32; ValueError where any is NaN, infinite, or too large for f32."""
    with np.errstate(over="ignore"):
        small = array.astype(np.float32)
    large = np.isinf(small)
    if large.any() and np.isfinite(np.asarray(array)[large]).any():
        value = np.asarray(array)[large].ravel()[0]
        raise ValueError(
            f"{argument}: {int(large.sum())} value(s) are NaN or infinite as float32 (such as "
            f"{value:g}); scale the inputs to what the model takes."
        )
    finite(argument, small)
    return small


def class_numbers(argument: str, values: np.ndarray) -> None:
    """Refuse labels that are no integers of shape [N], such as one-hot rows."""
    if values.ndim == 1 and values.dtype.kind in "iu":
        return
    one_hot = values.ndim == 2 and values.dtype.kind in "fiub" and np.isin(values, (0, 1)).all()
    raise ValueError(
        f"{argument}: labels must be integers of shape [N], got {values.dtype} of shape "
        f"{values.shape}"
        + ("; these are one-hot, give labels.argmax(axis=1)." if one_hot else "; number classes.")
    )


def labels(argument: str, values: np.ndarray, classes: int) -> None:
    """Refuse labels that are no integers in [0, classes)."""
    class_numbers(argument, values)
    if len(values) and (values.min() < 0 or values.max() >= classes):
        raise ValueError(
            f"{argument}: labels must lie in [0, {classes}), got {values.min()} to {values.max()}."
        )
