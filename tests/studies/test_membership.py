"""Who is a member of a family: lists for others, and what depends on them."""

import csv

import numpy as np
import pytest
from tiny import made

from tf_compleak.leakage.question_stages import Figures
from tf_compleak.studies.run import source
from tf_compleak.studies.run.run_stages import Data, DataFolder, Membership, everything
from tf_compleak.studies.study import Study

SIZES = {"num_validation": 20, "num_population": 10, "num_shadows": 2}


@pytest.fixture
def dataset(tmp_path):
    """The flag of 300 examples whose ids are words."""
    rng = np.random.default_rng(0)
    ids = np.array([f"example, {index:03}" for index in range(300)])
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.random((300, 4, 4)), y=np.arange(300) % 3, ids=ids)
    return f"npz:{path}"


def opened(dataset, root, **changes):
    study = Study(dataset=dataset, **{**SIZES, "num_members": 30, "num_non_members": 40, **changes})
    made(Data(), DataFolder(study, str(root), None))
    return source.Source(study, str(root))


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_family_lists_its_members_and_non_members(dataset, tmp_path):
    src = opened(dataset, tmp_path / "w")
    for family in src.study.families:
        facts = made(Membership(family), src)
        folder = tmp_path / "w" / "families" / family / "membership"
        split = src.splits[family]
        for name, indices in (("members", split.members), ("non_members", split.non_members)):
            listed = rows(folder / f"{name}.csv")
            labels = dict(zip(src.examples.ids, src.examples.y, strict=True))
            assert {row["id"] for row in listed} == set(src.examples.ids[indices])
            assert all(int(row["label"]) == labels[row["id"]] for row in listed)
            assert facts[name] == len(listed) == len(indices)
        assert {path.name for path in folder.iterdir()} == {
            *("members.csv", "non_members.csv", "stage.json")
        }


def test_examples_are_saved_as_the_models_take_them(dataset, tmp_path):
    src = opened(dataset, tmp_path / "w", save_examples=True)
    made(Membership("target"), src)
    folder, split = tmp_path / "w" / "families" / "target" / "membership", src.splits["target"]
    for name, indices in (("members", split.members), ("non_members", split.non_members)):
        saved = np.load(folder / f"{name}.npz", allow_pickle=False)
        np.testing.assert_array_equal(saved["x"], src.model_inputs("target", np.sort(indices)))
        np.testing.assert_array_equal(saved["y"], src.examples.y[np.sort(indices)])
        np.testing.assert_array_equal(
            saved["ids"], [row["id"] for row in rows(folder / f"{name}.csv")]
        )


def test_saving_examples_may_be_added_to_a_finished_study(dataset):
    plain, more = (Study(dataset=dataset, save_examples=saved) for saved in (False, True))
    assert more.difference(plain.to_json()) == []
    (difference,) = plain.difference(more.to_json())
    assert difference.startswith("save_examples")


def prints(src):
    """The fingerprints of every stage after the data, by title."""
    study = src.study
    stages = [*everything(study, study.versions), Figures(study.plan(study.versions))]
    return {stage.title: stage.stage(src).fingerprint for stage in stages}


ATTACKS = {"attacks": ("loss", "nasr-lr", "samia", "sr2-lr", "tabular", "rmia", "lira-boosted")}


@pytest.mark.parametrize("split", ["halves", "disjoint"])
def test_swapped_numbers_of_members_are_in_the_fingerprint_of_every_stage(dataset, tmp_path, split):
    """Over the same examples, of which the others are members now."""
    more = {"split": split, "queries": 1, "versions": ("original", "int8-ptq"), **ATTACKS}
    first = opened(dataset, tmp_path / "w", num_members=30, num_non_members=60, **more)
    swapped = opened(dataset, tmp_path / "w", num_members=60, num_non_members=30, **more)
    for family in first.splits:
        np.testing.assert_array_equal(first.ids(family), swapped.ids(family))
    before, after = prints(first), prints(swapped)
    assert before.keys() == after.keys() and len(before) > 40
    assert [title for title in before if before[title] == after[title]] == []


def test_another_kind_of_split_is_in_the_fingerprint_of_every_stage(dataset, tmp_path):
    more = {"versions": ("original", "int8-ptq"), **ATTACKS}
    before, after = (
        prints(opened(dataset, tmp_path / "w", split=split, num_non_members=30, **more))
        for split in ("halves", "disjoint")
    )
    assert [title for title in before if before[title] == after[title]] == []
