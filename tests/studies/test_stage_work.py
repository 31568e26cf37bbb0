"""Stages: what is kept and what is done again."""

import numpy as np

from tf_compleak.studies.run import estimates, source, stage_work
from tf_compleak.studies.study import Run, Study


def save(path, seed):
    rng = np.random.default_rng(seed)
    np.savez(path, x=rng.random((120, 4, 4)), y=np.arange(120) % 3)


def test_data_is_loaded_again_only_when_its_files_have_changed(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    save(path, 0)
    assert not stage_work.data_is_current(study, root, None)
    first = stage_work.data(print, study, root, None)
    assert stage_work.data_is_current(study, root, None)
    assert stage_work.data(print, study, root, None) == first
    before = source.Source(study, root)
    training = before.training("target").fingerprint
    blind = before.attack(source.BLIND).fingerprint
    save(path, 1)
    assert not stage_work.data_is_current(study, root, None)
    assert stage_work.data(print, study, root, None)["sha256"] != first["sha256"]
    after = source.Source(study, root)
    assert after.training("target").fingerprint != training
    assert after.attack(source.BLIND).fingerprint != blind
    assert source.opened(study, root).sha256 == after.sha256
    found = [Run(name, ("original",), "target", ("shadow-0",)) for name in ("entropy", "nasr-lr")]
    nulls = {after.attack(source.nulled(run)).fingerprint for run in found}
    assert len(nulls) == 2
    path.unlink()  # the workdir holds all that a finished study needs
    assert stage_work.data_is_current(study, root, None)


def test_the_report_names_the_kernels_that_were_left_alone(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    stage_work.data(print, study, root, None)
    src = source.Source(study, root)
    kept = {"kernels": ["a/depthwise_kernel", "b/depthwise_kernel"], "share": 0.125}
    facts = {"pruning-0.60": kept, "clustering-8": kept, "original": {"kernels": [], "share": 0.0}}
    for name, left_alone in facts.items():
        with src.version("target", name).writing() as (_, record):
            record["left_alone"] = left_alone
    versions = {name: estimates.version(src, name, None) for name in facts}
    for name, done in (("pruning-0.60", "pruned"), ("clustering-8", "clustered")):
        assert versions[name].left_alone == tuple(kept["kernels"])
        assert versions[name].left_alone_share == 0.125
        note = f"2 kernels (depthwise_kernel), 12.5% of all kernels' weights, are not {done}"
        assert note in versions[name].notes
    assert versions["original"].left_alone == versions["original"].notes == ()


def test_what_changes_a_training_changes_its_fingerprint_and_nothing_else_does(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)

    def training(**changes):
        study = Study(dataset=f"npz:{path}", num_population=10, **sizes, **changes)
        stage_work.data(print, study, root, None)
        return source.Source(study, root).training("target").fingerprint

    plain = training()
    for changes in (
        {"early_stopping": 3},
        {"checkpoint": "last"},
        {"mixed_precision": "bfloat16"},
        {"width": 8},
    ):
        assert training(**changes) != plain, changes
    assert training(depth=5, width=16) == plain  # the architecture's own, spelled out
