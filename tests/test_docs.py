"""What the documents say is true: examples in docstrings run, README's numbers are those of the result files."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.readme import BLOCKS, PAGES, SHORT, filled_page
from tests.conftest import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PACKAGED = {
    "targets": ("targetnet", "targetnet", "scan_targets"),
    "guides": ("deepcpf1", "deepcpf1", "score_guides"),
    "protein": ("protein_cnn", "annotator", "annotate_proteins"),
    "dna": ("genome_encoder", "genome_encoder", "embedding"),
}

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


def test_readme_and_results_are_filled_from_the_result_files():
    for page, blocks in zip(PAGES, (SHORT, BLOCKS), strict=True):
        text, new = filled_page(page)
        assert [name for name in blocks if f"<!-- {name} -->" not in text] == []
        assert new == text, "run python -m benchmarks.readme"


def test_the_readme_is_a_screen_a_user():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    assert [part.partition("\n")[0] for part in text.split("\n## ")[1:]] == [
        "I have a FASTA file", "I train models", "I use the Hub", "Results", "Citing"
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_of_the_readme_is_typed(page: str):
    """Outside the blocks that are filled, its prose has no measured number: decimals, shares, thousands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for hidden in (r"<!-- (\w+) -->.*?<!-- /\1 -->", r"```.*?```", r"`[^`\n]*`", r"\]\([^)]*\)"):
        text = re.sub(hidden, "", text, flags=re.DOTALL)
    found = re.findall(r"(?<![\w.-])(?:\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+|\d{3,}|\d+(?= ?%))", text)
    assert set(found) <= {"3.11", "0.5", "2.0"}  # Python, a threshold, the licence


def numbers_in(value: Any) -> Iterator[float]:
    """Every number of a result file, those in its texts too."""
    if isinstance(value, dict | list):
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from numbers_in(entry)
    elif isinstance(value, str):
        yield from (float(word) for word in re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def not_measured(lines: list[str], known: list[float]) -> list[str]:
    """Numbers in the cells of tables that no number of `known` rounds to, as it is or as a share in %."""
    wrong = []
    for line in lines:
        cells = " | ".join(re.split(r"(?<!\\)\|", line)[2:]).replace("*", "")
        for word in re.findall(r"(?<![\w.+-])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", cells):
            digits = word.replace(",", "").rstrip(".")
            mantissa, _, power = digits.partition("e")
            slack = 0.5 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2])) * 1.001
            scales = (1, 100, 1e-6, 1e-3, 1 / 60)
            if not any(abs(value * scale - float(digits)) <= slack for scale in scales for value in known):
                wrong.append(f"{word} in {line}")
    return wrong


def tables_of(text: str, *headings: str) -> list[str]:
    """Rows of the tables of a page, of these sections only if any are named."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    chosen = [part for part in sections if not headings or part.partition("\n")[0] in headings]
    lines = [line for part in chosen for line in part.splitlines()]
    return [line for i, line in enumerate(lines) if line.startswith("|") and not line.startswith("|---")
            and not (i + 1 < len(lines) and lines[i + 1].startswith("|---"))]  # fmt: skip


def test_a_typed_figure_is_noticed():
    known = [0.83123, 183416.0, 60.0]
    assert not_measured(["| rate | 183,416 | 0.831 | **83.1** | 1 |"], known) == []
    assert not_measured(["| rate | 202,442 |"], known) == ["202,442 in | rate | 202,442 |"]


@pytest.mark.parametrize("subject", PACKAGED)
def test_numbers_of_packaged_cards_come_from_results(subject: str):
    family, table, speed = PACKAGED[subject]
    folder = ROOT / "modeling" / subject / "pretrained" / family
    files = [*RESULTS.glob(f"{table}*.json"), RESULTS / f"speed_{speed}.json", *folder.glob("metrics.json")]
    known = [number for path in files for number in numbers_in(json.loads(path.read_text(encoding="utf-8")))]
    card = (folder / "README.md").read_text(encoding="utf-8")
    rows = tables_of(
        card, "Results", "Beside shortcut baselines", "Leakage between splits", "Speed and memory of inference"
    )
    assert rows and not_measured(rows, known) == []


@pytest.mark.parametrize(
    ("page", "files"),
    [
        ("tables/virbert.md", "virbert_arms"),
        ("tables/targetnet.md", "targetnet*"),
        ("tables/targetnet_chimeric.md", "targetnet_chimeric"),
        ("tables/pair_rule.md", "pair_rule"),
        ("tables/targetnet_criteria.md", "targetnet_criteria"),
        ("tables/deepcpf1.md", "deepcpf1*"),
        ("results/proteins.md", "proteins"),
        ("results/annotator.md", "annotator"),
        ("tables/families.md", "*families"),
        ("tables/genome_encoder.md", "genome_encoder"),
    ],
)
def test_numbers_of_tables_come_from_results(page: str, files: str):
    known = [n for path in RESULTS.glob(f"{files}.json") for n in numbers_in(json.loads(path.read_text("utf-8")))]
    rows = tables_of((ROOT / "benchmarks" / page).read_text(encoding="utf-8"))
    assert len(rows) > 5 and not_measured(rows, known) == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_say_how_they_came_about(path: Path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert {"command", "commit", "date", "data", "seeds", "device"} <= set(found)
    assert re.fullmatch(r"[0-9a-f]{7}", found["commit"]) and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert not re.search(r"(^|[ =])/", found["command"]), "a path of one machine"


def test_the_thesis_is_cited_as_it_is():
    """Wherever its author is named in a citation, name and title are right."""
    folders = [*ROOMS, "docs", "benchmarks", "model_cards"]  # not what runs and the demo leave in the checkout
    texts = [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md"))]
    texts += [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    cited = 0
    for path in texts:
        for match in re.finditer(r"Hurmer, (\w+)[^\n]*\n?[^\n]*", path.read_text(encoding="utf-8")):
            if match[1] != "LMU":
                assert match[1] == "Noah" and "Transformer Model for Genome Sequence Analysis" in match[0], path
                cited += 1
    assert cited >= 2


def test_the_citation_file_agrees_with_the_readme():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"title = {{{cff['title']}}}" in readme and f"version = {{{cff['version']}}}" in readme
    assert f'version = "{cff["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_map_names_every_room():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Decisions")[0]
    rooms = [path for path in (ROOT / "seqformers").iterdir() if path.is_dir() or path.suffix == ".py"]
    names = {path.name for path in rooms if not path.name.startswith(("_", "."))}
    names |= {path.name for path in (ROOT / "modeling").iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert {name for name in names if name not in table} == set()
    linked = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(path.name in linked for path in (ROOT / "docs" / "decisions").glob("*.md"))


def is_made(page: Path) -> bool:
    """Whether building the site makes this page: a verb's, a tutorial's, a table's, the index of a folder."""
    place = Path(os.path.normpath(page))
    if not place.is_relative_to(ROOT / "docs"):
        return False
    room, name = place.relative_to(ROOT / "docs").parts[0], place.stem
    if room == "commands":
        from typer.main import get_command

        from seqformers.cli import app

        return name in {"index", *get_command(app).commands}
    if room == "tutorials":
        return (ROOT / "docs" / "tutorials" / f"{name}.py").is_file()
    if room == "benchmarks":
        return name == "index" or any((ROOT / "benchmarks").glob(f"*/{name}.md"))
    return room == "models.md"


def test_links_between_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists() or is_made(path.parent / target), (
                f"{path}: {target}"
            )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\b(?:benchmarks|docs|examples|modeling|seqformers)/[\w./-]*\w", readme):
        assert (ROOT / target).exists(), target


def menu(entry):
    """Pages that the site's menu names; a folder's pages are made when it is built."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from menu(inner)


def test_the_menu_of_the_site_names_every_page_that_is_written():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(menu(yaml.safe_load(text)["nav"]))
    folders = {"tutorials/", "decisions/", "data/", "commands/", "api/", "benchmarks/"}
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for path in docs.rglob("*.md") if path.parent.name != "decisions"}
    assert {name for name in named if not name.endswith("/")} - {"models.md"} == written
    assert folders == {name for name in named if name.endswith("/")}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "tutorials").glob("*.py")), ids=lambda path: path.stem)
def test_a_tutorial_makes_claims_that_its_build_checks(path: Path):
    text = path.read_text(encoding="utf-8")
    compile(text, path.name, "exec")
    assert text.startswith("# %% [markdown]\n# # ") and "assert " in text


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
