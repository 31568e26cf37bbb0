"""The two sides of an audit: sources, class numbers, overlap."""

import numpy as np
import pytest
from PIL import Image

from tf_compleak.data import sides, sources


def arrays(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 4, 4, 1)).astype(np.float32), np.arange(n) % 3


def test_every_source_gives_the_same_side(tmp_path):
    x, y = arrays()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    for source in (f"npz:{tmp_path}/a.npz", f"{tmp_path}/a.npz"):
        side = sources.load_side(source, "--members")
        assert np.array_equal(side.rows(slice(None))["x"], x)
        assert np.array_equal(side.labels, y) and len(set(side.ids)) == 40
    mapped = sources.load_side(f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy", "--members")
    assert isinstance(mapped.inputs["x"], np.memmap)
    assert np.array_equal(np.concatenate([b["x"] for b in mapped.blocks()]), x)
    labels = sources.load_side(f"npy:{tmp_path}/y.npy", "--members")
    assert not labels.inputs and np.array_equal(labels.labels, y)


def test_named_inputs_are_kept_by_name(tmp_path):
    x, y = arrays()
    np.savez(tmp_path / "a.npz", words=x, mask=x > 0.5, y=y, ids=np.arange(40) + 7)
    side = sources.load_side(f"npz:{tmp_path}/a.npz", "--members")
    assert set(side.inputs) == {"words", "mask"} and side.ids[0] == "7"


def test_classes_of_folders_are_numbered_over_both_sides(tmp_path):
    def folder(name, classes):
        for index, each in enumerate(classes):
            (tmp_path / name / each).mkdir(parents=True)
            for number in range(12):
                pixels = np.full((5, 5), 20 * index + number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / each / f"{number}.png")
        return sources.load_side(f"image_folder:{tmp_path / name}", "--members")

    mine, others = sides.paired(folder("m", ["ant", "cat"]), folder("n", ["bee", "cat"]))
    assert mine.classes == others.classes == ("ant", "bee", "cat")
    assert set(mine.labels) == {0, 2} and set(others.labels) == {1, 2}
    assert mine.rows(slice(0, 2))["x"].dtype == np.uint8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nps:a", "--members: unknown 'nps'. Did you mean 'npz'"),
        ("npz:", "write it as npz:PATH"),
        ("npy", "write it as npy:X.npy,Y.npy"),
        ("digits", "--members=digits: is for run only: .*save both sides as npz:PATH"),
        ("digits:300", "write it as digits"),
        ("text:/nowhere/a.tsv", "/nowhere/a.tsv: no such file"),
        ("npz:/nowhere/a.npz", "/nowhere/a.npz: no such file"),
        ("npy:/nowhere/x.npy,/nowhere/y.npy", "/nowhere/x.npy: no such file"),
        ("image_folder:/nowhere", "/nowhere: no such folder"),
        ("tfds:cifar10:train", "--data_dir"),
    ],
)
def test_bad_sources_are_named(source, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        sources.load_side(source, "--members")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(40)}, "labels must be integers"),
        ({"y": np.arange(40) - 1}, "label -1 is negative"),
        ({"y": np.arange(39)}, "40 rows of x, 39 labels"),
        ({"ids": np.zeros(40, int)}, "occur more than once"),
        ({"x": np.array(["a"] * 40)}, "must be numbers"),
        ({"x": np.array([{}] * 40)}, "never loaded"),
    ],
)
def test_bad_arrays_are_named(tmp_path, change, message):
    x, y = arrays()
    np.savez(tmp_path / "a.npz", **({"x": x, "y": y} | change))
    with pytest.raises(ValueError, match=message):
        sources.load_side(f"npz:{tmp_path}/a.npz", "--members")


def test_few_examples_and_nan_are_refused(tmp_path):
    x, y = arrays(19)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    with pytest.raises(ValueError, match="at least 20"):
        sources.load_side(f"npz:{tmp_path}/a.npz", "--members")
    x, y = arrays()
    x[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"x: 1 value\(s\) are NaN"):
        list(sides.of_arrays(x, y, "--members").blocks())


def test_sides_must_be_alike():
    x, y = arrays()
    with pytest.raises(ValueError, match=r"has shape \[4, 4, 2\], the members' \[4, 4, 1\]"):
        sides.paired(
            sides.of_arrays(x, y, "--members"),
            sides.of_arrays(np.concatenate([x, x], axis=3), y, "--non_members"),
        )
    with pytest.raises(ValueError, match="give both the same"):
        sides.paired(sides.of_arrays(x, y, "--members"), sides.of_arrays(None, y, "--non_members"))


def texts_of(path, words, labels):
    path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(words, labels, strict=True)))
    return sources.load_side(f"text:{path}", f"--{path.stem}")


def test_sides_of_texts_share_classes(tmp_path):
    words = [f"größe {index}" for index in range(60)]
    mine = texts_of(tmp_path / "members.tsv", words[:40], ["a", "c"] * 20)
    others = texts_of(tmp_path / "non_members.tsv", words[35:], ["b", "c", "b", "c", "b"] * 5)
    assert mine.texts[np.arange(40)] == words[:40] and not mine.inputs
    mine, others = sides.paired(mine, others)
    assert mine.classes == others.classes == ("a", "b", "c")
    assert set(mine.labels) == {0, 2} and set(others.labels) == {1, 2}


def test_texts_are_paired_with_texts_only(tmp_path):
    x, y = arrays()
    texts = texts_of(tmp_path / "members.tsv", [str(index) for index in range(40)], y)
    for other in (sides.of_arrays(x, y, "--non_members"), sides.of_arrays(None, y, "--other")):
        with pytest.raises(ValueError, match="give both the same"):
            sides.paired(texts, other)
    few = sides.of_arrays(texts.texts, y, "--members").take(np.arange(5))
    assert len(few) == len(few.texts) == 5
    with pytest.raises(ValueError, match="40 rows of text, 39 labels"):
        sides.of_arrays(texts.texts, y[:39], "--members")


def test_errors_of_every_reader_begin_with_the_flag_and_the_source(tmp_path):
    (tmp_path / "a.tsv").write_text("one\t1\ntwo\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b.npz").touch()
    (tmp_path / "b.npy").touch()
    np.savez(tmp_path / "ids.npz", y=arrays()[1], ids=np.array(["é".encode()] * 40))
    for source in ("text:a.tsv", "image_folder:b", "npz:b.npz", "npy:b.npy", "npz:ids.npz"):
        scheme, name = source.split(":")
        source = f"{scheme}:{tmp_path}/{name}"
        with pytest.raises(ValueError) as caught:
            sources.load_side(source, "--members")
        assert str(caught.value).startswith(f"--members={source}: "), caught.value
