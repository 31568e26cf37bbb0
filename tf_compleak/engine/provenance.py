"""Where a report comes from: command, time, machine, libraries."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from typing import Any

LIBRARIES = (
    *("tf-compleak", "tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert"),
    *("numpy", "scipy", "scikit-learn", "tensorflow-datasets", "keras-nlp"),
)


def facts(command: str, flags: str, workdir: str) -> dict[str, Any]:
    """The provenance that every report has, as JSON values."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "flags": flags,
        "workdir": workdir,
        "libraries": {name: _library(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
    }


def _library(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
