"""A bucket for tests: `s3://` on a folder of this machine, without rename, like object storage.

Where processes are started, `sitecustomize(folder)` makes a folder for their PYTHONPATH.
"""

import os
from pathlib import Path

import fsspec
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

ROOT = "TEST_BUCKETS"


class Bucket(DirFileSystem):
    """`s3://NAME/KEY` is the file $TEST_BUCKETS/NAME/KEY; folders come with the objects in them."""

    protocol = "s3"
    sep = "/"
    cachable = False  # the folder may be another in the next test

    def __init__(self, **_):
        super().__init__(os.environ[ROOT], LocalFileSystem(auto_mkdir=True))

    def mv(self, *_, **__):
        """There is no rename."""
        raise NotImplementedError("object storage has no rename")

    rename = move = mv_file = mv


def register():
    """Make `s3://` mean this bucket, in this process."""
    fsspec.register_implementation("s3", Bucket, clobber=True)


def sitecustomize(folder):
    """A PYTHONPATH for processes that are to see the bucket too."""
    folder.mkdir()
    here = Path(__file__).parent
    text = f"import sys; sys.path.append({str(here)!r}); import bucket; bucket.register()\n"
    (folder / "sitecustomize.py").write_text(text)
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
