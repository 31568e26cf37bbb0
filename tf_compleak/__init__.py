"""tf_compleak: what compressed TensorFlow models tell about who was in their training data.

    import tf_compleak

    report = tf_compleak.run(tf_compleak.Study(), tf_compleak.Options(workdir="runs/first"))
    print(tf_compleak.verdict(report))

The public names are loaded when first used; importing this package loads no TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Estimate": "types",
    "Examples": "types",
    "Observations": "types.observations",
    "Options": "studies.options",
    "Report": "report.report",
    "Result": "types.findings",
    "Scores": "types",
    "Split": "types",
    "Study": "studies.study",
    "Version": "types",
    "Where": "studies.audit.audit_settings",
    "audit": "studies.audit.audit",
    "run": "studies.run.pipeline",
    "run_attacks": "studies.arrays",
    "verdict": "report.terminal_report",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tf_compleak' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tf_compleak.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
