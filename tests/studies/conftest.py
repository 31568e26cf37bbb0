"""Whole studies in tests: attacks with less of what makes them good and slow, but in workers."""

import pytest

from tf_compleak.attacks import boosted, calibrated, forest, tabular


@pytest.fixture(autouse=True)
def quick_attacks(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 50)
    monkeypatch.setattr(tabular, "DEALS", 1)
    monkeypatch.setattr(boosted, "ITERATIONS", 40)
    monkeypatch.setattr(calibrated, "ITERATIONS", 40)
