"""What the documents say is true: examples in docstrings run, README's numbers are those of the result files."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module

import pytest

from benchmarks.readme import BLOCKS, filled
from tests.conftest import ROOT

ROOMS = {"seqformers": "seqformers", **{room: f"seqformers.{room}" for room in ("modeling", "tokenization")}}
ROOMS["datasets_scripts"] = "seqformers.datasets_scripts"


def modules_with_examples():
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                yield ".".join([package, *(part for part in parts if part != "__init__")])


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_in_docstrings_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testmod(import_module(module), optionflags=options)
    assert tried
    assert not failed


def test_readme_is_filled_from_the_result_files():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in BLOCKS:
        assert f"<!-- {name} -->" in text
    assert filled(text) == text, "run python -m benchmarks.readme"


def test_the_python_example_of_the_readme_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        subprocess.run([sys.executable, "-c", example], check=True, cwd=ROOT)


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from seqformers.cli import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^\s*seqformers ([a-z-]+)", text, re.MULTILINE))
    assert verbs <= set(get_command(app).commands)


def test_every_command_shows_an_example():
    from typer.main import get_command
    from typer.testing import CliRunner

    from seqformers.cli import app

    for verb in get_command(app).commands:
        assert f"seqformers {verb}" in CliRunner().invoke(app, [verb, "--help"]).output, verb
