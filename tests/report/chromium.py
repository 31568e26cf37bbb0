"""The Chromium that pages are tested in: tests that import this are skipped where none is."""

import os
import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(not PROGRAM, reason="no Chromium on the path, nor in CHROMIUM"),
]
