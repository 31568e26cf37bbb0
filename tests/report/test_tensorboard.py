"""TensorBoard: what is written is what the report says, read back from the event files."""

import dataclasses
import sys

import pytest
from sample_report import sample

from tf_compleak.report import tensorboard


def events(folder):
    """Scalars as {(tag, step): value}, and the tags of HParams, of one run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    import tensorflow as tf

    metadata = {tag: found.SummaryMetadata(tag) for tag in found.Tags()["tensors"]}
    values = {
        (tag, event.step): float(tf.make_ndarray(event.tensor_proto))
        for tag, about in metadata.items()
        if about.plugin_data.plugin_name == "scalars"
        for event in found.Tensors(tag)
    }
    return values, metadata


def test_settings_in_which_studies_differ():
    one = sample()
    other = dataclasses.replace(one, study={**one.study, "seed": 8, "attacks": ["a", "b"]})
    found = tensorboard.hparams({"one": one, "other": other})
    assert found["other"] == {"seed": 8, "attacks": "a,b"} and found["one"].keys() == {
        "seed",
        "attacks",
    }
    assert set(tensorboard.hparams({"one": one})["one"]) == set(one.study)


def test_without_tensorboard_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.plugins.hparams", None)
    with pytest.raises(ValueError, match=r"pip install tensorboard"):
        tensorboard.write({"one": sample()}, tmp_path)


def test_a_grid_is_read_back(tmp_path):
    from tensorboard.plugins.hparams import plugin_data_pb2

    one = sample()
    other = dataclasses.replace(one, study={**one.study, "seed": 8})
    curves = {"one": {"target": [{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.5}]}}
    tensorboard.write({"one": one, "grid/other": other}, tmp_path, curves)
    values, _ = events(tmp_path / "one")
    row = one.results[0]
    tag = f"MI/{'+'.join(row.release)}/{row.attack}/auc"
    assert values[tag, 0] == pytest.approx(row.auc.value, abs=1e-6)
    assert values["MI/NR/auc", 0] == pytest.approx(one.best("NR").auc.value, abs=1e-6)
    assert values["training/target/loss", 2] == 1.5
    wanted = {(tag, 0): value for tag, value in tensorboard.scalars(one).items()}
    assert {k: v for k, v in values.items() if not k[0].startswith("training/")} == {
        key: pytest.approx(value, abs=1e-6) for key, value in wanted.items()
    }
    _, metadata = events(tmp_path / "grid" / "other")
    content = metadata["_hparams_/session_start_info"].plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["seed"].number_value == 8 and start.group_name
    _, metadata = events(tmp_path)
    content = metadata["_hparams_/experiment"].plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert [info.name for info in experiment.hparam_infos] == ["seed"]
    assert "MI/NR/auc" in [info.name.tag for info in experiment.metric_infos]
