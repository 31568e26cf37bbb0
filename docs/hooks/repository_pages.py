"""Pages that the site takes from the repository: flags from their definitions, files linked to.

A hook of `mkdocs.yml`. Pages link to files of the repository by relative paths, which also resolve
where the Markdown is read on a Git host; the site carries copies of those files.
"""

import posixpath
import re
from pathlib import Path

from tf_compleak.cli import main as cli

ROOT = Path(__file__).parents[2]
FLAGS = "reference/flags.md"
LINK = re.compile(r"\]\((\.\./[^)#\s]+)")
INTRODUCTION = """\
# Flags

Made from the definitions that `tf-compleak COMMAND --help` prints. A flag is written
`--name=value`; `--flagfile=PATH` reads flags from a file, one a line.
"""


def flags_page() -> str:
    """The flags of every command as Markdown, by group, with their defaults."""
    parts = [INTRODUCTION]
    for name, command in cli.COMMANDS.items():
        parts.append(f"## tf-compleak {name}\n\n```text\n{command.about.rstrip()}\n```\n")
        values = cli.define_flags(name) if command.flags else {}
        for title, group in command.flags.items():
            rows = [
                f"| `--{flag}` | {_cell(text)} | {_default(values[flag])} |" for flag, text in group
            ]
            parts.append(
                "\n".join(
                    [f"### {title} ({name})\n", "| flag | | default |", "|---|---|---|", *rows, ""]
                )
            )
    return "\n".join(parts)


def _cell(text: str) -> str:
    """A help text inside a table."""
    return re.sub(r"([|<*_\[\]{}])", r"\\\1", text)


def _default(flag) -> str:
    text = (flag.default_as_str or "").strip("'")
    return f"`{text}`" if text else "none"


def linked(page: str, markdown: str) -> dict[str, str]:
    """Links of a page that lead out of `docs`: as written, to paths in the repository."""
    folder = posixpath.dirname(f"docs/{page}")
    paths = {
        link: posixpath.normpath(posixpath.join(folder, link)) for link in LINK.findall(markdown)
    }
    return {link: path for link, path in paths.items() if not path.startswith("docs/")}


def on_files(files, config):
    """Add the page of flags, and copies of the repository's files that pages link to."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, FLAGS, content=flags_page()))
    paths = {
        path
        for file in files.documentation_pages()
        for path in linked(file.src_uri, file.content_string).values()
    }
    for path in sorted(paths):
        copy = f"repository/{path}.txt"  # as text: these are no pages of the site
        files.append(File.generated(config, copy, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, page, **_):
    """Point links that lead out of `docs` to the copies."""
    above = "../" * page.file.src_uri.count("/")
    for link, path in linked(page.file.src_uri, markdown).items():
        markdown = markdown.replace(f"]({link}", f"]({above}repository/{path}.txt")
    return markdown
