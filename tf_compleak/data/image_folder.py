"""Images in a folder for each class: PNG, JPEG and BMP of 8 bits."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np

from tf_compleak.data import array_files
from tf_compleak.engine import bounded_reads

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp"}
FORMATS = ("PNG", "JPEG", "BMP")  # no other reader of Pillow is let near a file
PIXELS_MOST = 2**26  # of one image
DAMAGE = (  # whatever Pillow's readers make of damaged files
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, KeyError, TypeError),
    *(struct.error, zlib.error, MemoryError),
)


def read(path: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Images uint8[N, H, W(, 3)] of one size, the class and the id (relative path) of each.

    The folder holds CLASS/*.png, or CLASS/images/* as Tiny-ImageNet's does.

    Raises:
      ValueError, FileNotFoundError: in one line that names the folder or the image.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; image_folder:PATH names one.")
    files = files_of(root)
    if not files:
        raise ValueError(f"{path}: no images; make a folder of png or jpg for each class.")
    images = _images(path, files)
    sizes = [f"{len(image)} x {image.shape[1]}" for image in images]
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{file}: is {size}, the first image is {sizes[0]}; make all one size."
            )
    if any(image.ndim == 3 for image in images):
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    ids = [file.relative_to(root).as_posix() for file in files]
    return np.stack(images), [name.split("/")[0] for name in ids], ids


def files_of(root: Path) -> list[Path]:
    """The images' files, sorted."""
    files = [*root.glob("[!.]*/[!.]*"), *root.glob("[!.]*/images/[!.]*")]
    return sorted(file for file in files if file.suffix.lower() in ENDINGS)


def _images(path: str, files: list[Path]) -> list[np.ndarray]:
    """The images; ValueError as soon as they can not all be held."""
    images, size, most = [], 0, array_files.memory()
    for file in files:
        images.append(_image(file))
        size += images[-1].nbytes
        if 2 * size > most:  # they are put into one array in the end
            raise ValueError(f"{path}: more images than there is memory for; take fewer.")
    return images


def _image(file: Path) -> np.ndarray:
    """uint8 [H, W] for grayscale, [H, W, 3] for everything else."""
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(),
            bounded_reads.opened(file) as data,
        ):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(data, formats=FORMATS) as image:
                if image.mode[0] in "IF":
                    raise ValueError("more than 8 bits a channel")
                if image.width * image.height > PIXELS_MOST:
                    raise ValueError(f"more than {PIXELS_MOST:,} pixels")
                return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except DAMAGE as error:
        kinds = "not an image of 8 bits (png, jpg, bmp)"
        reason = " ".join(str(error).removeprefix(f"{file}: ").split())[:100].rstrip(".")
        raise ValueError(f"{file}: {kinds}: {reason}; replace or remove it.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{file}: has more than {PIXELS_MOST:,} pixels; replace or remove it."
        ) from error
