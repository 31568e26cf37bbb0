"""Studies of texts and tables from the command line: what is refused, what runs, what is said."""

import json

import numpy as np
import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.data import vocabularies
from tf_compleak.models import keras_nlp_bridge
from tf_compleak.report.report import Report

WORDS = ("film", "actor", "scene", "plot", "music", "long", "short", "dark", "light", "story")
SMALL = (
    *("--num_members=40", "--num_non_members=40", "--num_validation=30", "--num_population=20"),
    *("--epochs=2", "--finetune_epochs=1", "--batch_size=20", "--max_accuracy_drop=1"),
    *("--optimizer=adamw", "--learning_rate=0.003", "--executor=inline", "--attacks=entropy,samia"),
    *("--sequence_length=12", "--vocabulary_size=300", "--depth=1", "--width=16"),
    "--versions=original,int8-ptq",
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The flag that names a file of 260 texts of two classes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "films.tsv"
    rows = ["text\tlabel"]
    for index in range(260):
        words = [*rng.choice(WORDS, rng.integers(3, 9)), ("bad", "good")[index % 2]]
        rows.append(f"{' '.join(rng.permutation(words))}\t{('neg', 'pos')[index % 2]}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return f"--dataset=text:{path}"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder of keras-nlp's: a tiny BERT with a vocabulary of single words."""
    from keras_nlp.models import BertTokenizer

    folder = str(tmp_path_factory.mktemp("preset") / "tiny")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "bad", "good"]
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    backbone = keras_nlp_bridge.backbone(
        "bert", vocabulary_size=len(tokens), max_sequence_length=14, **sizes
    )
    backbone.save_to_preset(folder)
    BertTokenizer(vocabulary=tokens, lowercase=True).save_to_preset(folder)
    return folder


def run(tmp_path, *flags):
    return cli.main(["run", f"--workdir={tmp_path / 'w'}", *SMALL, *flags])


def line(capsys, tmp_path, *flags):
    """The one line that a refused study prints; its workdir stays free."""
    assert run(tmp_path, *flags) == 2
    (found,) = capsys.readouterr().err.splitlines()[-1:]
    assert found.startswith("tf-compleak: ") and not (tmp_path / "w" / "study.json").exists()
    return found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=convnet"], "holds texts, --model=convnet does not take them"),
        (["--model=bert", "--augmentation=flip"], "--augmentation=flip: flips and shifts images"),
        (["--model=gpt2", "--queries=2"], "--queries=2: flips and shifts images"),
        (["--model=bert", "--heads=3"], "--width=16: cannot be split among --heads=3"),
        (["--model=bert", "--vocabulary=/no/where"], "no vocab.txt or vocabulary.txt there"),
        (["--model=gpt2", "--preset=gpt3"], "no folder of that name, and no such keras-nlp preset"),
    ],
)
def test_what_texts_refuse(capsys, tmp_path, texts, flags, message):
    assert message in line(capsys, tmp_path, texts, *flags)


def test_what_a_preset_refuses(capsys, tmp_path, texts, preset):
    bert = [texts, "--model=bert", f"--preset={preset}"]
    assert "--depth=2: --preset=" in line(capsys, tmp_path, *bert, "--depth=2")
    found = line(capsys, tmp_path, *bert, "--depth=0", "--width=0", "--sequence_length=15")
    assert "--sequence_length=15: longer than the position table" in found and "14 pos" in found
    other = tmp_path / "vocab.txt"
    other.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    found = line(capsys, tmp_path, *bert, f"--vocabulary={other}")
    assert f"--vocabulary={other}: 5 tokens" in found and "has 17" in found
    (tmp_path / "empty").mkdir()
    found = line(capsys, tmp_path, texts, "--model=bert", f"--preset={tmp_path / 'empty'}")
    assert "cannot be loaded as a bert preset" in found


def test_tables_refuse_what_is_for_images(capsys, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", x=rng.integers(0, 2, (300, 30)), y=np.arange(300) % 2)
    flags = [f"--dataset=npz:{tmp_path / 't.npz'}", "--model=dense", "--depth=2"]
    assert "the data has inputs of shape (30,)" in line(capsys, tmp_path, *flags, "--queries=1")
    assert "takes images" in line(capsys, tmp_path, *flags, "--model=resnet")


@pytest.mark.slow
def test_a_study_from_a_preset_says_where_its_words_come_from(tmp_path, texts, preset):
    flags = [texts, "--model=bert", f"--preset={preset}", "--depth=0", "--width=0"]
    assert run(tmp_path, *flags) == 0
    report = Report.load(tmp_path / "w")
    assert report.provenance["vocabulary"] == f"the preset's own ({preset})"
    assert {row.attack for row in report.results} == {"entropy"}
    (failure,) = report.failures
    assert failure.name == "samia" and "token ids have no such neighbours" in failure.reason
    assert [version.status for version in report.versions] == ["ok", "ok"]
    assert "token ids stay int32" in " ".join(report.versions[1].notes)
    assert report.sanity.blind_auc.measurable
    assert (tmp_path / "w" / "tokens" / "all" / "x.npy").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("stage.json")}
    assert run(tmp_path, *flags) == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("stage.json")}
    assert before == after


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["members", "outside"])
def test_a_vocabulary_is_each_familys_own_or_one_from_outside(tmp_path, texts, vocabulary):
    more = ["--model=gpt2", f"--vocabulary={vocabulary}", "--vocabulary_size=330"]
    assert run(tmp_path, texts, *more) == 0
    names = sorted(path.name for path in (tmp_path / "w" / "tokens").iterdir())
    assert names == (["shadow-0", "target"] if vocabulary == "members" else ["all"])
    report = Report.load(tmp_path / "w")
    said = {"members": "shadows' from their own", "outside": "which no model is trained on"}[
        vocabulary
    ]
    assert said in report.provenance["vocabulary"]
    prints = report.provenance["tokens"]
    assert (prints["target"] == prints["shadow-0"]) == (vocabulary == "outside")
    saved = json.loads((tmp_path / "w" / "tokens" / names[-1] / "vocabulary.json").read_text())
    assert vocabularies.Vocabulary.from_json(saved).size <= 330


def test_a_vocabulary_knows_nothing_but_its_members(tmp_path, texts):
    """Every merge of a family's vocabulary occurs in its members' texts."""
    from tf_compleak.studies.run import run_stages, source
    from tf_compleak.studies.study import Study

    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 30)
    study = Study(
        dataset=texts.partition("=")[2],
        model="bert",
        num_population=10,
        sequence_length=8,
        save_examples=True,
        **sizes,
    )
    tiny.made(run_stages.Data(), run_stages.DataFolder(study, str(tmp_path), None))
    src = source.Source(study, str(tmp_path))
    tiny.made(run_stages.Tokens("target"), src)
    assert src.holds_texts
    learned = src.examples.x[np.sort(src.splits["target"].members)]
    saved = (src.tokens("target").path / "vocabulary.json").read_text()
    vocabulary = vocabularies.Vocabulary.from_json(json.loads(saved))
    assert vocabulary == vocabularies.train("bert", learned, study.vocabulary_size)
    ids = src.model_inputs("target", src.splits["target"].scored)
    assert ids.dtype == np.int32 and ids.shape == (60, 8)
    expected = vocabulary.encode(src.examples.x[src.splits["target"].scored], 8)
    np.testing.assert_array_equal(ids, expected)
    tiny.made(run_stages.Membership("target"), src)
    folder = tmp_path / "families" / "target" / "membership"
    for name in ("members", "non_members"):
        saved = np.load(folder / f"{name}.npz", allow_pickle=False)
        rows = np.sort(getattr(src.splits["target"], name))
        np.testing.assert_array_equal(saved["x"], src.model_inputs("target", rows))
        assert saved["x"].dtype == np.int32  # as an audit asks the files
