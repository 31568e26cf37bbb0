"""The workdir: the folder of one study. Readable paths; finished stages only; nothing pickled.

A stage is a folder that holds its files and a `stage.json` with the fingerprint of what it came
from. It is written aside and renamed: a folder under its final name is complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ASIDE = ".aside-"
RECORD = "stage.json"


def fingerprint(**facts: Any) -> str:
    """A short digest of JSON-able facts: equal facts, equal digest, in any process."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it, so that it is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


class Stage:
    """One stage's folder and the fingerprint that it must carry to be believed."""

    def __init__(self, path: Path, fingerprint: str):
        self.path = path
        self.fingerprint = fingerprint

    def facts(self) -> dict[str, Any] | None:
        """What the finished stage recorded, None when it has to be done (again)."""
        try:
            record = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
            return record["facts"] if record["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextlib.contextmanager
    def writing(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to fill and a dict of facts to record; both appear whole when the block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=self.path.parent))
        try:
            facts: dict[str, Any] = {}
            yield aside, facts
            record = {"fingerprint": self.fingerprint, "facts": facts}
            (aside / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            aside.chmod(0o755)
            if self.path.exists():
                self._check_ours()
                old = Path(tempfile.mkdtemp(prefix=ASIDE, dir=self.path.parent))
                os.replace(self.path, old)
                shutil.rmtree(old)
            os.replace(aside, self.path)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, OSError) and error.errno is None:  # numpy, on a full disk
                full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                raise full from error
            raise

    def _check_ours(self) -> None:
        """Refuse to replace what no stage has written."""
        if not (self.path / RECORD).is_file() and any(self.path.iterdir()):
            raise ValueError(
                f"{self.path}: holds files that are not this tool's; move them away, or name "
                "another --workdir."
            )


class Workdir:
    """Names of everything in a study's folder."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)

    @property
    def _record(self) -> Path:
        return self.root / "study.json"

    @contextlib.contextmanager
    def claim(self, study, *, overwrite: bool = False) -> Iterator[None]:
        """Make the folder this study's, or refuse: ValueError when it is another's.

        With `overwrite` another study's folder is taken over: finished stages whose fingerprint
        still holds are kept, others are redone. The claim is given up again when the block raises
        and there was none before, so that a mended command can use the folder.
        """
        before = self._record.read_text(encoding="utf-8") if self._record.is_file() else None
        self._claim(study, overwrite)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self._record.unlink() if before is None else write_text(self._record, before)
            raise

    def _claim(self, study, overwrite: bool) -> None:
        record = self._record
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"--workdir={self.root}: is a file; name a folder.")
        if record.exists():
            self._compare(study, record, overwrite)
        elif not overwrite and self._foreign():
            raise ValueError(
                f"--workdir={self.root}: holds files but no study; name another folder, "
                "or pass --overwrite to use it all the same."
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f"--workdir={self.root}: cannot be made ({error.strerror}); name a folder that you "
                "may write to",
            ) from error
        write_text(record, json.dumps(study.to_json(), indent=1) + "\n")
        for leftover in self.root.rglob(f"{ASIDE}*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    def _foreign(self) -> bool:
        """Whether the folder holds something that no study of ours left."""
        return self.root.exists() and not all(
            entry.name.startswith(ASIDE)
            or (entry in (self.data(), self.preset()) and (entry / RECORD).is_file())
            or (entry == self.root / "tokens" and _only_stages(entry))
            or (entry == self.logs() and _only_logs(entry))
            for entry in self.root.iterdir()
        )

    def _compare(self, study, record: Path, overwrite: bool) -> None:
        try:
            different = study.difference(json.loads(record.read_text(encoding="utf-8")))
        except (ValueError, AttributeError):
            different = ["study.json cannot be read"]
        if different and not overwrite:
            more = f" (and {len(different) - 3} more)" if len(different) > 3 else ""
            raise ValueError(
                f"--workdir={self.root}: made by another study ({'; '.join(different[:3])}{more}); "
                "name another folder, or pass --overwrite to redo what differs."
            )

    def data(self) -> Path:
        """The decoded data set."""
        return self.root / "data"

    def tokens(self, name: str) -> Path:
        """The texts as token ids of a family's vocabulary, or of the one for all."""
        return self.root / "tokens" / name

    def preset(self) -> Path:
        """The weights that text models start from."""
        return self.root / "preset"

    def training(self, family: str) -> Path:
        """The trained original of a family."""
        return self.root / "families" / family / "training"

    def version(self, family: str, name: str) -> Path:
        """One version's `.tflite` file."""
        return self.root / "families" / family / "versions" / name

    def observation(self, family: str, name: str) -> Path:
        """What one version says about the family's examples."""
        return self.root / "families" / family / "observations" / name

    def extra(self, kind: str, family: str, name: str) -> Path:
        """What one version says when it is asked more than the examples."""
        return self.root / "families" / family / kind / name

    def attack(self, attack: str, release: tuple[str, ...], variant: str = "") -> Path:
        """The scores of one attack on one release, or of a variant of it."""
        name = slug(release)
        return self.root / "attacks" / attack / (f"{name} ({variant})" if variant else name)

    def logs(self) -> Path:
        """Output of the worker processes."""
        return self.root / "logs"


def _only_logs(folder: Path) -> bool:
    return folder.is_dir() and all(
        entry.name.startswith("worker-") and entry.suffix == ".log" for entry in folder.iterdir()
    )


def _only_stages(folder: Path) -> bool:
    return folder.is_dir() and all((entry / RECORD).is_file() for entry in folder.iterdir())


def slug(release: tuple[str, ...]) -> str:
    """A folder name for a release: its versions, or a digest where that gets too long."""
    name = "+".join(release)
    return name if len(name) <= 200 else f"{len(release)}-versions-{fingerprint(r=release)[:12]}"
