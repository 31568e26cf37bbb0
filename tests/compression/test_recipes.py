"""Recipes' names: which steps there are, and in which order they are joined."""

import pytest

from tf_compleak.compression import recipes
from tf_compleak.types import validators

COMBINED = (
    "pruning-0.80+int8-ptq",
    "clustering-16+dynamic-ptq",
    "pruning-0.60+clustering-16",
    "pruning-0.80+int8-qat",
    "clustering-16+int8-qat",
    "pruning-0.60+clustering-16+int8-qat",
    "pruning-2of4+int8-static",
    "clustering-8+int4-blockwise-32",
)


@pytest.mark.parametrize("name", [*recipes.KNOWN, *COMBINED])
def test_a_name_is_that_of_its_recipe_and_can_name_a_file(name):
    assert str(recipes.parse(name)) == name
    assert validators.name("version", name) == name


def test_other_spellings():
    assert str(recipes.parse("pruning-.5")) == "pruning-0.50"
    assert str(recipes.parse("pruning-2:4")) == "pruning-2of4"
    assert str(recipes.parse("pruning-2:4+int8-ptq")) == "pruning-2of4+int8-ptq"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("int8-qta", "Did you mean 'int8-qat'"),
        ("pruning-0.80+int8-qta", "Did you mean 'pruning-0.80[+]int8-qat'"),
        ("pruning-0.80+", "unknown step ''"),
        ("int8-ptq+pruning-0.80", "write pruning-0.80[+]int8-ptq"),
        ("clustering-16+pruning-0.60", "write pruning-0.60[+]clustering-16"),
        ("int8-qat+int8-ptq", "one quantization, not int8-qat and int8-ptq"),
        ("pruning-0.60+pruning-2:4", "one pruning, not pruning-0.60 and pruning-2of4"),
        ("original+int8-ptq", "original is the model as it is"),
        ("pruning-0.60+clustering-2", "write clustering-3"),
        ("pruning-1.50", "sparsity"),
        ("pruning-4:4", "zeros of a block"),
        ("clustering-1", "clusters"),
        ("int4-blockwise-48", "Did you mean 'int4-blockwise-"),
    ],
)
def test_what_is_no_recipe_says_what_to_write(name, message):
    with pytest.raises(ValueError, match=message) as error:
        recipes.parse(name)
    assert "\n" not in str(error.value)


def test_who_is_calibrated():
    names = (*recipes.KNOWN, *COMBINED)
    assert {name for name in names if recipes.calibrated(recipes.parse(name))} == {
        *("int8-ptq", "int16x8-ptq", "int8-static", "int16-static"),
        *("pruning-0.80+int8-ptq", "pruning-2of4+int8-static"),
    }
