"""--max_accuracy_drop: of what the original has above guessing."""

import numpy as np
import pytest
from tiny import made

from tf_compleak.studies.run import run_versions, source
from tf_compleak.studies.run.run_stages import Data, DataFolder, Observation, Training
from tf_compleak.studies.study import Study

VALIDATION, CLASSES = 200, 20


@pytest.fixture
def study_of(tmp_path):
    """A source whose original and pruned version have these validation accuracies."""
    count = 4 * 20 + VALIDATION
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((count, 4, 4)), y=np.arange(count) % CLASSES)

    def build(before, after, limit=0.15, versions=("original", "pruning-0.60")):
        sizes = {"num_members": 20, "num_non_members": 20, "num_validation": VALIDATION}
        study = Study(
            dataset=f"npz:{tmp_path / 'data.npz'}",
            num_population=0,
            versions=versions,
            max_accuracy_drop=limit,
            **sizes,
        )
        root = str(tmp_path / "w")
        made(Data(), DataFolder(study, root, None))
        opened = source.Source(study, root)
        for family in study.families:
            with Training(family).stage(opened).writing() as (_, facts):
                facts["validation_accuracy"] = before
            for name, accuracy in (("original", before), ("pruning-0.60", after)):
                with Observation(family, name).stage(opened).writing() as (folder, facts):
                    answers = np.full((40, CLASSES), 1 / CLASSES, np.float32)
                    np.save(folder / "probabilities.npy", answers)
                    facts["correct_validation"] = round(accuracy * VALIDATION)
                    facts["resolution"] = 0.0
        return opened

    return build


def test_a_weak_model_that_lost_half_of_what_it_knows_has_failed(study_of):
    failure = run_versions.accuracy_failure(study_of(0.22, 0.12), "pruning-0.60")
    assert failure is not None
    assert "of the target" in failure.reason and "--max_accuracy_drop=0.15" in failure.reason
    assert "58.8% of what the original has above guessing" in failure.reason
    assert "(0.220 to 0.120, guessing 0.050, n = 200)" in failure.reason


@pytest.mark.parametrize(
    ("before", "after", "limit", "failed"),
    [
        (0.95, 0.82, 0.15, False),  # 0.13 of 0.90
        (0.95, 0.80, 0.15, True),  # 0.15 of 0.90
        (0.95, 0.97, 0.0, False),
        (0.95, 0.0, 1.0, False),  # a limit of 1 lets everything pass
        (0.04, 0.02, 0.15, False),  # nothing above guessing can be lost
    ],
)
def test_the_limit_is_a_share_of_what_is_above_guessing(study_of, before, after, limit, failed):
    failure = run_versions.accuracy_failure(study_of(before, after, limit), "pruning-0.60")
    assert (failure is not None) == failed


def test_the_record_says_the_loss_with_its_interval(study_of):
    opened = study_of(0.22, 0.12)
    loss = run_versions.record(opened, "pruning-0.60").relative_loss
    assert loss.value == pytest.approx(0.1 / 0.17) and loss.n == VALIDATION
    assert 0.1 < loss.low < loss.value < loss.high <= 1
    assert run_versions.record(opened, "original").relative_loss is None
