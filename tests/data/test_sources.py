"""Sources: every one gives checked examples, and every bad input one line that names the remedy."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tf_compleak.data import array_files, sources, tfds_folder

X = np.random.default_rng(0).random((6, 4, 4, 3))
Y = np.array([0, 1, 2, 0, 1, 2])
OBJECTS = np.array([{}] * 6, dtype=object)


def save(folder, **arrays) -> str:
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def draw(path: pathlib.Path, size=(5, 4), mode="RGB", value=7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, value, value)).save(path)


def test_import_is_light():
    code = (
        "import sys, tf_compleak.data.sources;"
        "sys.exit(bool({'tensorflow', 'tensorflow_datasets', 'sklearn', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_digits():
    examples = sources.load("digits")
    assert examples.x.shape == (1797, 8, 8, 1) and examples.x.dtype == np.float32
    assert examples.x.min() == 0 and examples.x.max() == 1
    assert examples.y.dtype == np.int64 and examples.classes == 10
    np.testing.assert_array_equal(examples.ids, np.arange(1797))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("digit", r"--dataset: unknown 'digit'\. Did you mean 'digits'\?"),
        ("nzp:a.npz", r"--dataset: unknown 'nzp'\. Did you mean 'npz'\?"),
        ("cifar10", r"--dataset: unknown 'cifar10'\..*tfds"),
        ("npz", "write it as npz:PATH"),
        ("tfds:", "write it as tfds:cifar10"),
        ("digits:3", "write it as digits"),
    ],
)
def test_bad_names(dataset, message):
    with pytest.raises(ValueError, match=message):
        sources.load(dataset)


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [("uint8", "uint8"), ("float64", "float32"), ("float16", "float32"), ("int32", "float32")],
)
def test_npz_dtypes(tmp_path, stored, dtype):
    examples = sources.load(save(tmp_path, x=(X * 9).astype(stored), y=Y.astype(np.uint8)))
    assert examples.x.dtype == dtype and examples.x.shape == X.shape
    assert examples.y.dtype == np.int64 and examples.classes == 3
    np.testing.assert_array_equal(examples.ids, np.arange(6))
    np.testing.assert_array_equal(examples.x, (X * 9).astype(stored).astype(dtype))


@pytest.mark.parametrize(
    ("shape", "result"), [((6, 5), (6, 5)), ((6, 4, 3), (6, 4, 3, 1)), ((6, 2, 2, 2, 1),) * 2]
)
def test_npz_shapes(tmp_path, shape, result):
    assert sources.load(save(tmp_path, x=np.zeros(shape), y=Y)).x.shape == result


def test_a_stamp_tells_whether_the_files_changed(tmp_path):
    assert sources.stamp("digits") is None
    dataset = save(tmp_path, x=X, y=Y)
    before = sources.stamp(dataset)
    assert before == sources.stamp(dataset) is not None
    os.utime(tmp_path / "data.npz", ns=(1, 1))
    assert sources.stamp(dataset) not in (before, None)
    os.unlink(tmp_path / "data.npz")
    assert sources.stamp(dataset) is None
    folder = f"image_folder:{tmp_path}"
    draw(tmp_path / "a" / "1.png")
    before = sources.stamp(folder)
    draw(tmp_path / "b" / "2.png")
    assert sources.stamp(folder) not in (before, None)
    assert sources.stamp("tfds:none", str(tmp_path)) is None


def test_npz_ids(tmp_path):
    examples = sources.load(save(tmp_path, x=X, y=Y, ids=np.array(list("abcdef"))))
    assert examples.ids.tolist() == list("abcdef")


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_npy_gives_what_npz_gives(tmp_path, dtype):
    table = (X * 9).astype(dtype)
    packed = sources.load(save(tmp_path, x=table, y=Y))
    np.save(tmp_path / "x.npy", table)
    np.save(tmp_path / "y.npy", Y)
    dataset = f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy"
    mapped = sources.load(dataset)
    assert mapped.x.dtype == packed.x.dtype and mapped.classes == packed.classes
    for name in ("x", "y", "ids"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(packed, name))
    before = sources.stamp(dataset)
    os.utime(tmp_path / "y.npy", ns=(1, 1))
    assert None not in (before, sources.stamp(dataset)) and before != sources.stamp(dataset)


def test_npy_refused(tmp_path):
    np.save(tmp_path / "y.npy", Y)
    for rest, message in (
        ("y.npy", "holds labels alone; training takes npy:X.npy,Y.npy"),
        ("x.npy,y.npy", "x.npy: no such file; save a plain number array"),
        ("y.npy,y.npy", r"inputs have shape \(6,\)"),
        ("y.npy,y.npy,y.npy", "write it as npy:X.npy,Y.npy, or npy:Y.npy"),
    ):
        rest = ",".join(f"{tmp_path}/{name}" for name in rest.split(","))
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            sources.load(f"npy:{rest}")


def test_a_split_in_the_source_goes_before_the_default(monkeypatch):
    asked = []

    def read(name, data_dir, split):
        asked.append((name, split))
        return np.zeros((40, 2)), np.arange(40) % 2

    monkeypatch.setattr(tfds_folder, "read", read)
    sources.load("tfds:glue/cola", tfds_split="test")
    sources.load("tfds:glue/cola:train[:9]+test", tfds_split="test")
    sources.load_side("tfds:mnist:train[5:]", "--members")
    sources.load_side("tfds:mnist", "--members")
    assert [split for _, split in asked] == ["test", "train[:9]+test", "train[5:]", "train"]
    assert [name for name, _ in asked] == ["glue/cola", "glue/cola", "mnist", "mnist"]


def test_the_listing_names_every_source_and_no_other():
    forms = [line.split()[0] for line in sources.LISTING.splitlines()]
    assert [form.partition(":")[0] for form in forms] == list(sources.SOURCES)
    page = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "names.md"
    text = page.read_text(encoding="utf-8")
    assert not [form for form in forms if f"| `{form}` |" not in text]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"lacks x \(has y\)"),
        ({"a": X}, r"lacks x and y \(has a\)"),
        ({"x": OBJECTS, "y": Y}, "Python objects, which are never loaded"),
        ({"x": X, "y": OBJECTS}, "Python objects, which are never loaded"),
        ({"x": X, "y": Y, "ids": OBJECTS}, "Python objects, which are never loaded"),
        ({"x": X, "y": Y[:5]}, "6 rows of x, 5 labels"),
        ({"x": X, "y": Y, "ids": np.arange(4)}, r"ids of shape \(4,\)"),
        ({"x": X, "y": Y, "ids": np.zeros(6)}, "ids: .*every value must be unique"),
        ({"x": X, "y": Y.astype(float)}, "labels must be integers.*float64"),
        ({"x": X, "y": np.eye(6, dtype=int)}, r"labels must be integers of shape \[N\]"),
        ({"x": X, "y": np.array(1)}, r"labels must be integers of shape \[N\]"),
        ({"x": X, "y": Y - 1}, "label -1 is negative; number classes from 0"),
        ({"x": X, "y": Y * 0}, "one class only"),
        ({"x": X, "y": Y * 100}, "label 200 with 6 examples; .*without gaps"),
        ({"x": X[:0], "y": Y[:0]}, "holds no examples"),
        ({"x": np.where(X > 0.9, np.nan, X), "y": Y}, "inputs: .*NaN or infinite"),
        ({"x": X * 1e300, "y": Y}, "inputs: .*NaN or infinite"),
        ({"x": np.array(3.0), "y": Y}, r"numbers of shape \[N, \.\.\.\]"),
        ({"x": np.full((6, 2), "a"), "y": Y}, r"numbers of shape \[N, \.\.\.\]"),
    ],
)
def test_npz_refused(tmp_path, arrays, message):
    dataset = save(tmp_path, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        sources.load(dataset)
    assert str(error.value).startswith(str(tmp_path / "data.npz"))
    assert "\n" not in str(error.value)


def test_npz_damaged(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[100:160] = bytes(60)
    np.save(tmp_path / "data.npy", X)
    plain = (tmp_path / "data.npy").read_bytes()
    for content in (whole[: len(whole) // 2], bytes(flipped), plain, b"text", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"an \.npz with arrays x and y is expected") as error:
            sources.load(f"npz:{path}")
        assert str(error.value).startswith(str(path))


def test_npz_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        sources.load(f"npz:{tmp_path / 'none.npz'}")


def test_image_folder(tmp_path):
    draw(tmp_path / "dog" / "b.png", value=3)
    draw(tmp_path / "dog" / "a.bmp", value=2)
    draw(tmp_path / "cat" / "images" / "z.JPEG", value=1)
    draw(tmp_path / "cat" / "y.png", mode="L", value=9)
    draw(tmp_path / ".hidden" / "x.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    examples = sources.load(f"image_folder:{tmp_path}")
    assert examples.ids.tolist() == ["cat/images/z.JPEG", "cat/y.png", "dog/a.bmp", "dog/b.png"]
    assert examples.y.tolist() == [0, 0, 1, 1] and examples.classes == 2
    assert examples.x.shape == (4, 4, 5, 3) and examples.x.dtype == np.uint8
    assert examples.x[1:, 0, 0].tolist() == [[9] * 3, [2] * 3, [3] * 3]


def test_image_folder_of_grayscale(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        draw(tmp_path / name, mode="L")
    assert sources.load(f"image_folder:{tmp_path}").x.shape == (2, 4, 5, 1)


def test_image_folder_refused(tmp_path):
    dataset = f"image_folder:{tmp_path}"
    with pytest.raises(FileNotFoundError, match="no such folder"):
        sources.load(f"{dataset}/none")
    with pytest.raises(ValueError, match="no images"):
        sources.load(dataset)
    draw(tmp_path / "a" / "1.png")
    with pytest.raises(ValueError, match="one class only"):
        sources.load(dataset)
    draw(tmp_path / "b" / "1.png", size=(6, 4))
    draw(tmp_path / "b" / "2.png", size=(9, 9))
    with pytest.raises(ValueError, match=r"b/1\.png: is 4 x 6, the first image is 4 x 5"):
        sources.load(dataset)
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b/1\.png: not an image"):
        sources.load(dataset)
    Image.fromarray(np.full((4, 5), 999, np.uint16)).save(tmp_path / "b" / "1.png")
    with pytest.raises(ValueError, match=r"b/1\.png: not an image of 8 bits"):
        sources.load(dataset)


def test_tfds_not_prepared(tmp_path):
    for folder in ("cifar10/3.0.2", "glue/cola/2.0.0", "glue/sst2/2.0.0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "dataset_info.json").touch()
    for dataset, message in [
        (
            "tfds:cifar",
            r"not prepared in .* \(has: cifar10, glue/cola, glue/sst2\)\. .*tfds:cifar10",
        ),
        ("tfds:glue/sst", r"Did you mean tfds:glue/sst2\? Run `tfds build glue/sst`"),
        ("tfds:glue", r"Did you mean tfds:glue/cola or tfds:glue/sst2\?"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            sources.load(dataset, data_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"--data_dir=.*: no such folder"):
        sources.load("tfds:cifar10", data_dir=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="pass --data_dir"):
        sources.load("tfds:cifar10")


@pytest.fixture
def data_dir() -> str:
    """The folder of TF_COMPLEAK_DATA_DIR, with cifar10 in it."""
    folder = os.environ.get("TF_COMPLEAK_DATA_DIR", "")
    if not folder or not (pathlib.Path(folder) / "cifar10").is_dir():
        pytest.skip("TF_COMPLEAK_DATA_DIR names no folder with prepared cifar10")
    return folder


@pytest.mark.data
def test_tfds(data_dir):
    examples = sources.load("tfds:cifar10", data_dir=data_dir, tfds_split="train[:500]")
    assert examples.x.shape == (500, 32, 32, 3) and examples.x.dtype == np.uint8
    assert examples.classes == 10 and examples.ids.tolist() == list(range(500))
    fewer = sources.load("tfds:cifar10", data_dir=data_dir, tfds_split="train[:100]")
    np.testing.assert_array_equal(fewer.x, examples.x[:100])
    for split in ("tran", "train[:0]"):
        with pytest.raises(ValueError, match=r"split .*\(train, test\)"):
            sources.load("tfds:cifar10", data_dir=data_dir, tfds_split=split)


@pytest.mark.data
def test_tfds_damaged(data_dir, tmp_path):
    (version,) = pathlib.Path(data_dir).glob("cifar10/*")
    copy = tmp_path / "cifar10" / version.name
    copy.mkdir(parents=True)
    for file in version.glob("*.*"):
        (copy / file.name).write_bytes(file.read_bytes()[:5000])
    for info in (None, "{"):
        if info:
            (copy / "dataset_info.json").write_text(info)
        with pytest.raises(ValueError, match=r"damaged files in .*; prepare it anew"):
            sources.load("tfds:cifar10", data_dir=str(tmp_path))


@pytest.mark.parametrize("file", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("content", ["{", "[]", "[" * 5000])
def test_tfds_with_a_damaged_description_is_to_be_prepared_anew(tmp_path, file, content):
    folder = tmp_path / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    for name in ("features.json", "dataset_info.json"):
        (folder / name).write_text("{}")
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=r"damaged files in .*; prepare it anew \(.*JSON") as told:
        sources.load("tfds:cifar10", data_dir=str(tmp_path))
    assert file in str(told.value) and "\n" not in str(told.value)


@pytest.mark.data
def test_tfds_texts(data_dir):
    if not (pathlib.Path(data_dir) / "imdb_reviews").is_dir():
        pytest.skip("imdb_reviews is not prepared in TF_COMPLEAK_DATA_DIR")
    examples = sources.load("tfds:imdb_reviews", data_dir=data_dir, tfds_split="train[:40]")
    assert len(examples.x) == 40 and examples.classes == 2
    (first,) = examples.x[np.array([0])]
    assert isinstance(first, str) and len(first.split()) > 20
    side = sources.load_side("tfds:imdb_reviews:train[:40]", "--members", data_dir)
    assert side.texts[np.arange(40)] == examples.x[np.arange(40)] and not side.inputs


@pytest.mark.parametrize(
    ("kinds", "inputs", "label"),
    [
        ({"image": "Image", "label": "ClassLabel"}, ["image"], "label"),
        (
            {"coarse_label": "ClassLabel", "image": "Image", "label": "ClassLabel"},
            ["image"],
            "label",
        ),
        ({"description": "Text", "label": "ClassLabel", "title": "Text"}, 2, "label"),
        ({"image": "Image", "kind": "ClassLabel", "text": "Text"}, ["image"], "kind"),
        ({"image": "Image", "number": "Scalar"}, None, None),
        ({"label": "ClassLabel", "number": "Scalar"}, None, None),
        ({"a": "ClassLabel", "b": "ClassLabel", "image": "Image"}, None, None),
        ({"image": "Image", "label": "ClassLabel", "mask": "Image"}, None, None),
    ],
)
def test_features_of_tfds_say_what_is_what(kinds, inputs, label):
    import tensorflow_datasets as tfds

    make = {
        "Image": tfds.features.Image,
        "Text": tfds.features.Text,
        "Scalar": lambda: tfds.features.Scalar(np.int64),
        "ClassLabel": lambda: tfds.features.ClassLabel(num_classes=2),
    }
    features = {name: make[kind]() for name, kind in kinds.items()}
    if inputs is None:
        with pytest.raises(ValueError, match=r"needs an image or a text and a class label, has"):
            tfds_folder._features("some", features)
        return
    expected = ["title", "description"] if inputs == 2 else inputs
    assert tfds_folder._features("some", features) == (expected, label)


def test_images_of_mixed_size_are_refused():
    rows = iter(
        [{"image": np.zeros((4, 4, 3), np.uint8)}, {"image": np.zeros((4, 5, 3), np.uint8)}]
    )
    with pytest.raises(ValueError, match=r"mixed size \(number 1 is \(4, 5, 3\)"):
        tfds_folder._images_of("tfds:some", rows, "image", 2)


def test_an_archive_that_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 100)), y=np.arange(1000) % 2)
    monkeypatch.setattr(array_files, "memory", lambda: 2**16)
    with pytest.raises(ValueError, match="more than there is memory"):
        sources.load(f"npz:{tmp_path}/a.npz")
