"""The one Keras import: Keras 2 (`tf_keras`), because the Model Optimization Toolkit needs it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras as keras

__all__ = ["keras"]
