"""Texts: files, buffers, vocabularies, token ids."""

import json

import numpy as np
import pytest

from tf_compleak.attacks import blind
from tf_compleak.data import sources, text_files, vocabularies
from tf_compleak.metrics import intervals
from tf_compleak.types import Examples, Texts

WORDS = (
    *("the", "film", "was", "good", "bad", "very", "long", "and", "short"),
    *("with", "actors", "who", "play", "well", "or", "badly"),
)


def sentences(count=200, seed=0, words=WORDS):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(count)]


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return f"text:{path}"


def test_texts_are_kept_as_they_are():
    kept = ["plain", "", "tab\tand\nline", "größer, 漢字 🎬"]
    texts = Texts.of(kept)
    assert len(texts) == 4 and texts.shape == (4,)
    assert texts[np.array([3, 0, 1, 2])] == [kept[3], kept[0], kept[1], kept[2]]


def test_files_of_texts(tmp_path):
    expected = ['He said: "so, what?"', "größer"]
    files = {
        "a.tsv": 'text\tlabel\nHe said: "so, what?"\tneg\ngrößer\tpos\n',
        "b.tsv": 'He said: "so, what?"\tneg\ngrößer\tpos\n',
        "c.csv": 'id,label,text\n1,neg,"He said: ""so, what?"""\n2,pos,größer\n\n',
        "d.jsonl": "\n".join(
            json.dumps({"text": t, "label": k, "more": 1})
            for t, k in zip(expected, ("neg", "pos"), strict=True)
        ),
    }
    for name, content in files.items():
        examples = sources.load(write(tmp_path / name, content))
        assert examples.x[np.arange(2)] == expected, name
        assert examples.y.tolist() == [0, 1] and examples.classes == 2
    numbers = sources.load(write(tmp_path / "n.tsv", "a\t1\nb\t0\nc\t1\nd\t0\n"))
    assert numbers.y.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\none\t1\ntwo\n", r"a\.tsv, line 3: 1 columns, the first line has 2"),
        ("a.tsv", "no tab here\n", r"line 1: one column only"),
        ("a.csv", 'text,label\n"open,1\n', r"a\.csv, line"),
        ("a.csv", "text,label\na, with comma,1\n", r"line 2: 3 columns.*texts in quotes"),
        ("a.jsonl", '{"text": "a", "label": 0}\n{"text": "a"}\n', r"line 2: must be an object"),
        ("a.jsonl", "[1, 2]\n", r"line 1: must be an object"),
        ("a.jsonl", '{"text": 1, "label": 0}\n', r"line 1: text must be a string"),
        ("a.txt", "x\t1\n", "Known: .tsv, .csv, .jsonl"),
        ("a.tsv", "x\t1\ny\t1\n", "one class only"),
        ("a.tsv", "", "no examples"),
    ],
)
def test_bad_files_of_texts_are_one_line(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as error:
        sources.load(write(tmp_path / name, content))
    assert "\n" not in str(error.value)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        sources.load(f"text:{tmp_path}/none.tsv")
    (tmp_path / "a.tsv").write_bytes(b"\xff\xfe\x00a\t1\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        text_files.read(str(tmp_path / "a.tsv"))


def test_tables_are_numbers_as_they_are():
    """uint8 is scaled where it is an image; a table's zeros and ones stay."""
    table = np.array([[0, 1], [1, 0]], np.uint8)
    args = np.array([0, 1]), np.arange(2), 2
    assert Examples(table, *args).inputs(np.array([0])).tolist() == [[0, 1]]
    image = np.full((2, 2, 2, 1), 255, np.uint8)
    assert Examples(image, *args).inputs(np.array([1])).max() == 1


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_vocabulary_is_learned_saved_and_spells_its_texts(kind, tmp_path):
    texts = sentences()
    vocabulary = vocabularies.train(kind, texts, 400)
    assert vocabulary == vocabularies.train(kind, texts, 400)
    assert vocabulary == vocabularies.Vocabulary.from_json(
        json.loads(json.dumps(vocabulary.to_json()))
    )
    assert vocabulary.size <= 400
    ids = vocabulary.encode([*texts[:5], ""], 30)
    assert ids.shape == (6, 30) and ids.dtype == np.int32
    marks = {"bert": 2, "gpt2": 1}[kind]
    for row, sentence in zip(ids, texts[:5], strict=False):
        assert (row > 0).sum() == len(sentence.split()) + marks  # every word is one token
        assert not row[(row > 0).sum() :].any()
    assert (ids[5] > 0).sum() == marks
    long = [" ".join(WORDS)] * 2
    short = vocabulary.encode(long, 5)
    assert (short[:, 4] == ids[0][(ids[0] > 0).sum() - 1]).all()  # cut, and still ended


def test_ids_are_keras_nlps_own():
    import keras_nlp

    texts = ["The actors, badly!", "very  long\nfilm"]
    words = vocabularies.train("bert", sentences(), 300)
    theirs = keras_nlp.models.BertTokenizer(vocabulary=list(words.tokens), lowercase=True)(texts)
    for row, expected in zip(words.encode(texts, 40), theirs, strict=True):
        assert row[1 : len(expected) + 1].tolist() == list(expected)
    pairs = vocabularies.train("gpt2", sentences(), 300)
    tokenizer = keras_nlp.models.GPT2Tokenizer(
        vocabulary={token: index for index, token in enumerate(pairs.tokens)},
        merges=list(pairs.merges),
    )
    for row, expected in zip(pairs.encode(texts, 40), tokenizer(texts), strict=True):
        assert row[: len(expected)].tolist() == [index + 1 for index in list(expected)]


def test_vocabularies_in_files(tmp_path):
    words = vocabularies.train("bert", sentences(), 300)
    (tmp_path / "vocab.txt").write_text("\n".join(words.tokens) + "\n")
    assert vocabularies.read("bert", str(tmp_path)) == vocabularies.read(
        "bert", str(tmp_path / "vocab.txt")
    )
    assert vocabularies.read("bert", str(tmp_path)) == words
    pairs = vocabularies.train("gpt2", sentences(), 300)
    ids = {token: index for index, token in enumerate(pairs.tokens)}
    with pytest.raises(FileNotFoundError, match=r"no vocab\.json or vocabulary\.json there"):
        vocabularies.read("gpt2", str(tmp_path))
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs.merges))
    assert vocabularies.read("gpt2", str(tmp_path)).tokens == pairs.tokens
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"--vocabulary=.*lacks \[PAD\]"):
        vocabularies.read("bert", str(tmp_path))
    (tmp_path / "vocab.json").write_text('{"a":' * 100_000)
    with pytest.raises(ValueError, match=r"--vocabulary=.*nested too deep"):
        vocabularies.read("gpt2", str(tmp_path))
    (tmp_path / "vocab.txt").write_text("[UNK]\n[PAD]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(ValueError, match=r"does not begin with \[PAD\]"):
        vocabularies.read("bert", str(tmp_path))


def test_the_blind_baseline_of_texts_finds_other_words_and_nothing_else():
    labels, members = np.arange(400) % 2, np.arange(400) < 200
    alike = sentences(400)
    others = [*alike[:200], *sentences(200, seed=1, words=[*WORDS[:10], "spoiler"])]
    for texts, found in ((alike, False), (others, True)):
        scores = blind.blind_texts(texts, labels, members, seed=0)
        auc = intervals.auc_estimate(scores, members, level=0.999)
        assert (auc.low > 0.6) == found and (found or auc.low <= 0.5 <= auc.high)
