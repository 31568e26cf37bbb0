"""Code of the user's own, named PATH.py:NAME: read as text here, run where the work is done.

What can be said of a file is said before anything runs: whether NAME is there and which methods it
has is read from its syntax, so that a study is checked without the user's libraries.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_compleak.engine import bounded_reads
from tf_compleak.types import validators


@dataclass(frozen=True)
class UserCode:
    """A class or function of a user's file, as the file is now.

    Attributes:
      path: absolute; name: what is defined there, at the top level.
      methods: of a class, those of its base classes in the same file with them; None of a function.
      sha256: of the file and of the files beside it that it imports.
    """

    path: str
    name: str
    methods: tuple[str, ...] | None
    sha256: str


def read(argument: str, text: str) -> UserCode:
    """What PATH.py:NAME names; nothing of it is run.

    Raises:
      ValueError, FileNotFoundError: in one line, naming the argument: for another form, a file that
        is not there or is no Python, a NAME that it does not define.
    """
    if not isinstance(text, str):
        raise ValueError(
            f"{argument}: got a {type(text).__name__}; write 'PATH.py:NAME', a file and a class in "
            "it: workers load it from there."
        )
    path, _, name = text.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise ValueError(f"{argument}={text}: write PATH.py:NAME, a file and a class in it.")
    file = Path(path).expanduser().absolute()
    found = _parsed(argument, text, file)
    validators.choice(f"{argument}={text}", name, found.methods)
    return UserCode(str(file), name, found.methods[name], _digest(argument, text, file))


@dataclass(frozen=True, eq=False)
class _Parsed:
    """Methods of everything defined at the top level of a file; its digest; what it imports."""

    methods: dict[str, tuple[str, ...] | None]
    sha256: str
    imports: tuple[str, ...]


def _parsed(argument: str, text: str, file: Path) -> _Parsed:
    try:
        state = os.stat(file)
        return _parsed_as_it_is(file, state.st_mtime_ns, state.st_size)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{argument}={text}: no such file as {file}.") from error
    except SyntaxError as error:
        where = f"line {error.lineno} of {file}"
        raise ValueError(f"{argument}={text}: {where} is no Python ({error.msg}).") from error
    except OSError as error:
        raise ValueError(f"{argument}={text}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ValueError(f"{argument}={text}: {error}") from error


@functools.lru_cache(maxsize=256)
def _parsed_as_it_is(file: Path, modified: int, size: int) -> _Parsed:
    content = bounded_reads.content(file)
    tree = ast.parse(content, str(file))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    methods = {name: tuple(sorted(_methods(node, classes))) for name, node in classes.items()}
    imports = [
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return _Parsed(
        {**methods, **dict.fromkeys(functions)},
        hashlib.sha256(content).hexdigest(),
        tuple(dict.fromkeys(imports)),
    )


def _methods(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    assigned = [part for part in node.body if isinstance(part, ast.Assign)]
    own |= {to.id for part in assigned for to in part.targets if isinstance(to, ast.Name)}
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    others = {name: part for name, part in classes.items() if part is not node}
    return own.union(*(_methods(classes[base], others) for base in bases if base in others))


def _digest(argument: str, text: str, file: Path) -> str:
    """SHA-256 of a file and of the modules beside it that it imports, and these import."""
    waiting, sums = [file], {}
    while waiting:
        path = waiting.pop()
        parsed = _parsed(argument, text, path)
        sums[path.name] = parsed.sha256
        beside = [file.parent / f"{name.split('.')[0]}.py" for name in parsed.imports if name]
        waiting += [other for other in beside if other.name not in sums and other.is_file()]
    if len(sums) == 1:
        return sums[file.name]
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()


def instance(code: UserCode) -> Any:
    """What the code defines: an object of a class, made without arguments; a function as it is.

    Raises:
      ValueError: in one line, with file and line number, whatever the file raises.
    """
    with running(code):
        thing = getattr(_module(code.path, code.sha256), code.name)
        return thing() if isinstance(thing, type) else thing


@functools.lru_cache(maxsize=8)
def _module(path: str, sha256: str) -> Any:
    """The file as a module; what lies beside it can be imported."""
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.append(folder)  # last: no file of a folder stands in for a library
    name = f"{Path(path).stem}_{sha256[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def running(code: UserCode) -> Iterator[None]:
    """What the user's code raises becomes one ValueError: file, line, error; the rest is printed.

    A lack of memory stays what it is, and what ends a study (Ctrl-C) does, too.
    """
    try:
        yield
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exc(file=sys.stdout)
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == code.path
        ]
        where = f"{code.path}:{lines[-1]}" if lines else f"{code.path}:{code.name}"
        message = " ".join(str(error).split())[:400]
        raise ValueError(
            f"{where}: {type(error).__name__}{': ' if message else ''}{message}"
        ) from error
