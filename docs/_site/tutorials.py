"""Tutorials as text that runs: `tutorials/*.py` (jupytext, percent format) executed into pages with their outputs.

A cell that raises stops the build, and so does a claim of a tutorial, written as `assert`, that does not hold. A page
is kept while neither the tutorial nor the package's code has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

__all__ = ["executed"]

_SOURCES = ("seqformers", "modeling", "tokenization", "datasets_scripts")


def executed(folder: Path, work: Path) -> dict[str, str | bytes]:
    """Pages and pictures of all tutorials of a folder.

    Args:
        folder (`Path`): Where the tutorials stand.
        work (`Path`): Where they run and finished pages are kept; ignored by git.
    """
    root = folder.parents[1]
    code = hashlib.sha256()
    for path in sorted(path for room in _SOURCES for path in (root / room).rglob("*.py")):
        code.update(path.read_bytes())
    pages: dict[str, str | bytes] = {}
    for source in sorted(folder.glob("*.py")):
        mark = hashlib.sha256(code.digest() + source.read_bytes()).hexdigest()[:16]
        kept = work / "pages" / f"{source.stem}-{mark}"
        if not kept.is_dir():
            _execute(source, work / source.stem, kept)
        pages |= {f"tutorials/{path.name}": path.read_bytes() for path in sorted(kept.iterdir())}
    return pages


def _execute(source: Path, place: Path, kept: Path) -> None:
    """Run one tutorial in an empty folder and keep its page."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    paths = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(source.parents[2]),
    }
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", COLUMNS="110", TERM="dumb", NO_COLOR="1", **paths)
    written = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        if cell.cell_type == "code":  # a command that fails is no error to IPython
            cell.source = re.sub(r"(?m)^(![^\n]*)$", r"\1\nassert _exit_code == 0, 'the command failed'", cell.source)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(place)}}).execute()
    for cell, source_text in zip(notebook.cells, written, strict=True):
        cell.source = source_text
    text, resources = MarkdownExporter().from_notebook_node(
        nbformat.from_dict(notebook), resources={"unique_key": source.stem, "output_files_dir": "."}
    )
    partial = kept.with_name(f"{kept.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / f"{source.stem}.md").write_text(text.replace("(./", "("), encoding="utf-8")
    for name, content in resources["outputs"].items():
        (partial / Path(name).name).write_bytes(content)
    partial.rename(kept)
