"""What a hostile file must leave as it was: files, folders, sockets and processes around a test."""

import contextlib
import os
import socket
import tempfile
from pathlib import Path

NAMES = ("secret.txt", "folder/note.txt")


class Watch:
    """Canary files, listeners on loopback, and the folder that temporary files go to.

    Attributes:
      outside: a folder of canaries that a file has no business with; secret: one of them.
      tcp, udp: ports of the listeners; unix: the path of one.
    """

    def __init__(self, folder: Path, monkeypatch):
        self.folder = folder
        self.outside, self._temporary = folder / "outside", folder / "temporary"
        self._temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(self._temporary))
        for name in NAMES:
            (self.outside / name).parent.mkdir(parents=True, exist_ok=True)
            (self.outside / name).write_text(f"canary {name}")
        self.secret = self.outside / NAMES[0]
        self._listeners = [socket.socket(), socket.socket(type=socket.SOCK_DGRAM)]
        for listener in self._listeners:
            listener.bind(("127.0.0.1", 0))
        self.tcp, self.udp = (listener.getsockname()[1] for listener in self._listeners)
        self.unix = str(folder / "listener")
        self._listeners.append(socket.socket(socket.AF_UNIX))
        self._listeners[-1].bind(self.unix)
        for listener in self._listeners:
            listener.setblocking(False)
            if listener.type & socket.SOCK_STREAM and not listener.type & socket.SOCK_DGRAM:
                listener.listen()
        self._before: dict = {}
        self._names: list[str] = []

    def start(self) -> None:
        """Remember how everything is; call it when the hostile file lies there."""
        self._before, self._names = self._state(), os.listdir(self._temporary)

    def check(self) -> None:
        """Nothing is changed, added or gone; nobody called; no process is left."""
        assert self._state() == self._before
        assert os.listdir(self._temporary) == self._names, "its private folder is left"
        for listener in self._listeners:
            with contextlib.suppress(BlockingIOError):
                talk = listener.type == socket.SOCK_DGRAM
                heard = listener.recv(100) if talk else listener.accept()
                raise AssertionError(f"somebody called: {heard}")
        assert not processes_of(self._temporary)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _state(self) -> dict[str, tuple]:
        """Kind, size, times of change and bytes of everything beneath the folder."""
        state = {}
        for root, folders, files in os.walk(self.folder):
            if Path(root) == self._temporary:
                continue
            for name in (*folders, *files):
                path = Path(root, name)
                status = path.lstat()
                small = path.is_file() and not path.is_symlink() and status.st_size < 2**20
                content = path.read_bytes() if small and os.access(path, os.R_OK) else b""
                changed = 0 if path == self._temporary else status.st_mtime_ns
                state[str(path)] = (status.st_mode, changed, content)
        return state


def processes_of(home: Path) -> list[str]:
    """Processes whose environment names a folder; children inherit it."""
    named = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if f"HOME={home}".encode() in environment:
                named.append(folder.name)
    return named
