"""Settings of the whole test run: quiet, deterministic TensorFlow on one thread."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SHARED = ("engine", "studies", "report", "inference")  # tests there take things from each other
sys.path[:0] = [str(TESTS), *(str(TESTS / folder) for folder in SHARED)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
