"""The workdir: the folder of one study. Readable paths; finished stages only; nothing pickled.

A stage is a folder that holds its files and a `stage.json` with the fingerprint of what it came
from. It is written aside and renamed: a folder under its final name is complete. See `stage.py`
for that, `file_store.py` for folders and buckets, `lock.py` for the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tf_compleak.engine import bounded_reads, file_store, lock
from tf_compleak.engine.file_store import ASIDE, StorePath, write_text
from tf_compleak.engine.stage import RECORD, SCHEMA, Stage, fingerprint
from tf_compleak.types import validators

__all__ = ["ASIDE", "RECORD", "SCHEMA", "Stage", "Workdir", "fingerprint", "slug", "write_text"]

FOLDERS = (  # of a study's or an audit's folder: what may be left aside in them is removed
    *("data", "tokens", "preset", "families", "attacks", "measured", "examples", "logs"),
    *("answers", "observations", "sensitivities", "marginal", "remedies"),
)


class Workdir:
    """Names of everything in a study's folder."""

    def __init__(self, root: str | os.PathLike):
        self.root = file_store.path(root)

    @property
    def _record(self) -> StorePath:
        return self.root / "study.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, making the folder; ValueError naming the process that has it."""
        self.check_folder()
        is_new = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock_ = contextlib.ExitStack()
            lock_.enter_context(lock.held(self.root))
        except OSError as error:
            raise OSError(
                error.errno,
                f"--workdir={self.root}: cannot be made or written ({error.strerror}); name a "
                "folder that you may write to",
            ) from error
        with lock_:
            yield
        if is_new and file_store.is_local(self.root):
            with contextlib.suppress(OSError):
                Path(self.root).rmdir()  # where nothing came of it

    @contextlib.contextmanager
    def claim(self, study, *, overwrite: bool = False) -> Iterator[None]:
        """Make the folder this study's, or refuse: ValueError when it is another's.

        A study that only adds to the one before (versions, attacks, releases) may go on in its
        folder. With `overwrite` another study's folder is taken over: finished stages whose
        fingerprint still holds are kept, others are redone. The claim is given up again when the
        block raises and there was none before, so that a mended command can use the folder.
        """
        before = None
        if self._record.exists():
            with contextlib.suppress(ValueError):  # what is no text need not be put back
                before = bounded_reads.text(self._record, follow=False)
        self._claim(study, overwrite)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self._record.unlink() if before is None else write_text(self._record, before)
            raise

    def _claim(self, study, overwrite: bool) -> None:
        self.check(study, overwrite=overwrite)
        record = {"schema": SCHEMA, **study.to_json()}
        write_text(self._record, json.dumps(record, indent=1, allow_nan=False) + "\n")
        file_store.clean(self.root, FOLDERS)

    def check(self, study, *, overwrite: bool = False) -> None:
        """Refuse what is not this study's folder; ValueError saying why. Nothing is changed."""
        self.check_folder()
        if self._record.exists():
            self._compare(study, overwrite)
        elif not overwrite and self._foreign():
            raise ValueError(
                f"--workdir={self.root}: holds files but no study; name another folder, "
                "or pass --overwrite to use it all the same."
            )

    def check_folder(self) -> None:
        """Refuse what is no folder, or one that holds links, pipes or devices; ValueError."""
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"--workdir={self.root}: is a file; name a folder.")
        if file_store.is_local(self.root) and self.root.exists():
            bounded_reads.check_plain(self.root, f"--workdir={self.root}")

    def _foreign(self) -> bool:
        """Whether the folder holds something that no study of ours left."""
        return self.root.exists() and not all(
            entry.name.startswith(ASIDE)
            or entry.name in (lock.NAME, lock.FILE)
            or (entry in (self.data(), self.preset()) and (entry / RECORD).exists())
            or (entry == self.root / "tokens" and _only_stages(entry))
            or (entry == self.logs() and _only_logs(entry))
            for entry in self.root.iterdir()
        )

    def study(self) -> dict | None:
        """What `study.json` says, without the schema; None when it cannot be read.

        Raises:
          ValueError: when the workdir is of another schema.
        """
        try:
            saved = bounded_reads.json_object(self._record, follow=False)
        except (OSError, ValueError):
            return None
        schema = saved.pop("schema", 1)
        if type(schema) is not int:
            return None
        if schema != SCHEMA:
            remedy = (
                "name another folder, or pass --overwrite to make everything in it anew."
                if schema < SCHEMA
                else "upgrade tf-compleak, or name another folder."
            )
            raise ValueError(
                f"--workdir={self.root}: has schema {schema}, this tf-compleak works with schema "
                f"{SCHEMA}; {remedy}"
            )
        return saved

    def _compare(self, study, overwrite: bool) -> None:
        if overwrite:
            return
        saved, different = self.study(), ["study.json cannot be read"]
        if saved is not None:
            with contextlib.suppress(TypeError, AttributeError, LookupError):  # of other types
                different = study.difference(saved)
        if different:
            more = f" (and {len(different) - 3} more)" if len(different) > 3 else ""
            raise ValueError(
                f"--workdir={self.root}: made by another study ({'; '.join(different[:3])}{more}); "
                "name another folder, or pass --overwrite to redo what differs."
            )

    def data(self) -> StorePath:
        """The decoded data set."""
        return self.root / "data"

    def tokens(self, name: str) -> StorePath:
        """The texts as token ids of a family's vocabulary, or of the one for all."""
        return self.root / "tokens" / name

    def preset(self) -> StorePath:
        """The weights that text models start from."""
        return self.root / "preset"

    def membership(self, family: str) -> StorePath:
        """Who is a member of a family and who is not."""
        return self.root / "families" / family / "membership"

    def training(self, family: str) -> StorePath:
        """The trained original of a family."""
        return self.root / "families" / family / "training"

    def version(self, family: str, name: str) -> StorePath:
        """One version's `.tflite` file."""
        return self.root / "families" / family / "versions" / name

    def observation(self, family: str, name: str) -> StorePath:
        """What one version says about the family's examples."""
        return self.root / "families" / family / "observations" / name

    def extra(self, kind: str, family: str, name: str) -> StorePath:
        """What one version says when it is asked more than the examples."""
        return self.root / "families" / family / kind / name

    def attack(self, attack: str, release: tuple[str, ...], variant: str = "") -> StorePath:
        """The scores of one attack on one release, or of a variant of it."""
        name = slug(release)
        validators.name("attack", attack)
        return self.root / "attacks" / attack / (f"{name} ({variant})" if variant else name)

    def added(self, versions: tuple[str, ...]) -> StorePath:
        """What each of these versions adds."""
        return self.root / "marginal" / slug(versions)

    def remedied(self, remedy: str) -> Workdir:
        """The folder of the same study under a remedy; what it shares with this one is here."""
        return _Remedied(self, self.root / "remedies" / re.sub(r"[^a-z0-9.]+", "-", remedy))

    def compared(self) -> StorePath:
        """What a remedy changes."""
        return self.root / "compared"

    def figures(self) -> StorePath:
        """What the report says, before where and when it was made are added."""
        return self.root / "measured"

    def logs(self) -> StorePath:
        """Logs of the stages and output of the worker processes; of buckets, on this machine."""
        if file_store.is_local(self.root):
            return self.root / "logs"
        return Path(tempfile.gettempdir()) / f"tf-compleak-{fingerprint(root=str(self.root))}"


class _Remedied(Workdir):
    """A folder inside that of the plain study, whose data it uses."""

    def __init__(self, plain: Workdir, root: StorePath):
        super().__init__(root)
        self.plain = plain

    def data(self) -> StorePath:
        return self.plain.data()

    def tokens(self, name: str) -> StorePath:
        return self.plain.tokens(name)

    def preset(self) -> StorePath:
        return self.plain.preset()

    def membership(self, family: str) -> StorePath:
        return self.plain.membership(family)

    def logs(self) -> StorePath:
        return self.plain.logs()


def _only_logs(folder: StorePath) -> bool:
    return folder.is_dir() and all(entry.suffix in (".log", ".jsonl") for entry in folder.iterdir())


def _only_stages(folder: Path) -> bool:
    return folder.is_dir() and all((entry / RECORD).is_file() for entry in folder.iterdir())


def slug(release: tuple[str, ...]) -> str:
    """A folder name for a release: its versions, or a digest where that is too long or no one's.

    Raises:
      ValueError: for a version whose name cannot be part of a file's.
    """
    name = "+".join(validators.name("version", version) for version in release)
    joined = any("+" in version for version in release)
    return (
        name
        if len(name) <= 200 and not joined
        else f"{len(release)}-versions-{fingerprint(r=release)[:12]}"
    )
