"""The nouns of the project: small frozen types that pass between packages, and their validators."""

from tf_compleak.types.estimates import Estimate, Roc, Scores
from tf_compleak.types.examples import LEAST, Examples, Split, Texts
from tf_compleak.types.versions import (
    ORIGINAL,
    STRONGEST,
    Failure,
    Output,
    Release,
    Tier,
    Version,
    default_releases,
    tier,
)

__all__ = [
    "LEAST",
    "ORIGINAL",
    "STRONGEST",
    "Estimate",
    "Examples",
    "Failure",
    "Output",
    "Release",
    "Roc",
    "Scores",
    "Split",
    "Texts",
    "Tier",
    "Version",
    "default_releases",
    "tier",
]
