"""Conditions on figures as flags write them."""

import math

import pytest

from tf_compleak.metrics import grammar


def test_conditions_and_their_text():
    found = grammar.condition(" upper:tpr@0.001 >= 0.01", "--f", (">=", ">"))
    assert str(found) == "upper:tpr@0.001>=0.01" and found.upper
    assert found.holds(0.01) and not found.holds(0.0099) and not found.holds(math.nan)
    below = grammar.condition("auc<0.55", "--b", ("<=", "<"))
    assert below.holds(0.54) and not below.holds(0.55)
    assert str(grammar.metric("tpr@1e-3", "x")) == "tpr@0.001"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auc", "is no condition; write tpr@0.01>0.05"),
        ("auc<0.5", "is no condition"),
        ("acu>0.5", "Did you mean 'auc'"),
        ("tpr>0.5", "of which false positive rate"),
        ("tpr@x>0.5", "'x' is no rate"),
        ("tpr@0.9>0.5", "between 1e-06 and 0.5"),
        ("auc@0.1>0.5", "only tpr has a rate"),
        ("auc>high", "'high' is no number"),
        ("upper:epsilon>1", "has no upper end"),
        ("auc>nan", "the bound of auc"),
    ],
)
def test_what_is_no_condition(text, message):
    with pytest.raises(ValueError, match=message):
        grammar.condition(text, "--f", (">=", ">"))
