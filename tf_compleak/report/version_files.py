"""Where a version's file lies, as files of CI name it: from the folder that the command ran in."""

from __future__ import annotations

import os
from urllib.parse import quote

from tf_compleak.engine import file_store
from tf_compleak.report.report_folder import REPORT
from tf_compleak.types.findings import Findings


def path(report: Findings, name: str, folder: str | os.PathLike) -> str:
    """The path of a version's file, relative to the working folder where it lies below that.

    Where the report names no file of such a version: that of `report.json` in `folder`, the
    workdir. Of outputs that are given as two files: the first.
    """
    paths = {version.name: version.path for version in report.versions}
    file = paths.get(name) or REPORT
    if file.endswith(".npy") and ".npy+" in file:
        file = file.partition(".npy+")[0] + ".npy"
    if not file_store.is_local(folder):
        return file if "://" in file or os.path.isabs(file) else f"{str(folder).rstrip('/')}/{file}"
    inside = os.path.join(os.fspath(folder), file)
    if file == REPORT or os.path.exists(inside):
        file = inside
    relative = os.path.relpath(os.path.abspath(file))
    return os.path.abspath(file) if relative.split(os.sep)[0] == os.pardir else relative


def uri(file: str) -> str:
    """What `path` gives as a URI: relative, or absolute with its scheme."""
    scheme, sign, rest = file.partition("://")
    if sign:
        return f"{scheme}://{quote(rest)}"
    return f"file://{quote(file)}" if os.path.isabs(file) else quote(file, safe="/")
