"""Stages: what is kept and what is done again."""

import numpy as np

from tf_compleak import source, stages
from tf_compleak.study import Run, Study


def save(path, seed):
    rng = np.random.default_rng(seed)
    np.savez(path, x=rng.random((120, 4, 4)), y=np.arange(120) % 3)


def test_data_is_loaded_again_only_when_its_files_have_changed(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    save(path, 0)
    assert not stages.data_is_current(study, root, None)
    first = stages.data(print, study, root, None)
    assert stages.data_is_current(study, root, None)
    assert stages.data(print, study, root, None) == first
    before = source.Source(study, root)
    training = before.training("target").fingerprint
    blind = before.attack(source.BLIND).fingerprint
    save(path, 1)
    assert not stages.data_is_current(study, root, None)
    assert stages.data(print, study, root, None)["sha256"] != first["sha256"]
    after = source.Source(study, root)
    assert after.training("target").fingerprint != training
    assert after.attack(source.BLIND).fingerprint != blind
    assert source.opened(study, root).sha256 == after.sha256
    found = [Run(name, ("original",), "target", ("shadow-0",)) for name in ("entropy", "nasr-lr")]
    nulls = {after.attack(source.nulled(run)).fingerprint for run in found}
    assert len(nulls) == 2
    path.unlink()  # the workdir holds all that a finished study needs
    assert stages.data_is_current(study, root, None)
