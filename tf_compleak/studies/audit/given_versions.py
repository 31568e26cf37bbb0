"""Versions as a caller gives them: files, functions, or outputs of both sides."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.data import array_files

Given = str | Path | Callable | tuple  # file, function, or outputs of members and of non-members


def outputs_of(name: str, given: Any) -> Given:
    """A version as it is asked: a path as text, a function, or outputs of both sides as a tuple.

    Outputs are "MEMBERS.npy+NON_MEMBERS.npy", or a pair (tuple or list) of arrays or such paths.

    Raises:
      ValueError: for anything else, naming the version.
    """
    given = os.fspath(given) if isinstance(given, os.PathLike) else given
    if isinstance(given, str) and given.endswith(".npy"):
        paths = given.split("+")
        if len(paths) != 2:
            raise ValueError(
                f"--versions: {given}: outputs are given as MEMBERS.npy+NON_MEMBERS.npy, two files."
            )
        given = tuple(paths)
    if isinstance(given, str) or callable(given):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return tuple(
            array_files.mapped(os.fspath(of), "--versions: ")
            if isinstance(of, (str, os.PathLike))
            else of
            if isinstance(of, np.ndarray)
            else _array(name, of)
            for of in given
        )
    size = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
    raise ValueError(
        f"version {name}: got a {type(given).__name__}{size}; give a path, a function, or its "
        "outputs as a pair (of members, of non-members)."
    )


def _array(name: str, values: Any) -> np.ndarray:
    """Of lists; ValueError naming the version where their rows are of several lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"version {name}: outputs that are no array [examples, classes]: rows of several "
            "lengths."
        ) from error
