"""The table of benchmark results: every script writes its own section of README.md."""

import datetime
import os
import platform
import re
from pathlib import Path

README = Path(__file__).parent / "README.md"


def hardware() -> str:
    """The processor and the number of cores, as far as the system tells."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        model = found[1]
    return f"{model}, {os.cpu_count()} cores"


def write_section(script: str, text: str) -> None:
    """Replace the part of README.md between the script's markers, adding them if missing."""
    begin, end = f"<!-- {script} -->", f"<!-- end {script} -->"
    today = datetime.date.today().isoformat()
    section = f"{begin}\n## `{script}`\n\n{text}\n\n{hardware()}; {today}.\n{end}"
    old = README.read_text(encoding="utf-8") if README.exists() else ""
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new = pattern.sub(lambda _: section, old) if begin in old else f"{old.rstrip()}\n\n{section}\n"
    README.write_text(new.lstrip(), encoding="utf-8")
