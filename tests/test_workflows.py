"""The worked Snakemake file and Nextflow module: their shell lines, run on a tiny input, give the single table."""

from __future__ import annotations

import re
import shlex
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.inference.predict import predict
from tests.conftest import ROOT
from tests.inference.runs import dna, dna_run

SNAKEMAKE, NEXTFLOW = ROOT / "examples" / "snakemake", ROOT / "examples" / "nextflow"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as a user has it, with the table of a single run beside."""
    folder = tmp_path_factory.mktemp("work")
    dna_run(folder / "run")
    (folder / "contigs.fasta").write_text("".join(f">r{i}\n{dna(30 + 9 * i, i)}\n" for i in range(7)))
    predict(folder / "run", folder / "contigs.fasta", folder / "single.tsv", progress=False)
    return folder


def run_line(line):
    """One shell line; the program it names is this one's."""
    words = shlex.split(line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        assert name == "OMP_NUM_THREADS" and value.isdigit()
    assert words.pop(0) == "seqformers"
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


def rules():
    """Rule -> its shell command, its inputs and outputs by name (or one, unnamed), as they stand in the Snakefile."""
    found = {}
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", (SNAKEMAKE / "Snakefile").read_text(), re.M):
        parts = dict(re.findall(r"^    (\w+):(.*(?:\n        .*)*)", body, re.M))
        found[name] = {key: value.strip() for key, value in parts.items()}
    return found


def test_the_snakefile(folder, monkeypatch):
    monkeypatch.chdir(folder)
    config = {**yaml.safe_load((SNAKEMAKE / "config.yaml").read_text()), "model": "run", "shards": 3}
    found = rules()
    assert set(found) == {"all", "predict", "merge"}
    assert set(re.findall(r'config\["(\w+)"\]', (SNAKEMAKE / "Snakefile").read_text())) == set(config)
    command = {name: "".join(re.findall(r'"(.*)"', found[name]["shell"])) for name in ("predict", "merge")}
    tables = []
    for shard in range(1, config["shards"] + 1):
        table, record = (
            text.format(shard=shard) for text in re.findall(r'temp\("(.*?)"\)', found["predict"]["output"])
        )
        run_line(
            command["predict"].format(
                threads=found["predict"]["threads"],
                params=SimpleNamespace(model=config["model"], count=config["shards"]),
                input=SimpleNamespace(contigs=config["contigs"]),
                output=SimpleNamespace(table=table),
                wildcards=SimpleNamespace(shard=shard),
            )
        )
        assert (folder / table).is_file() and (folder / record).is_file()
        assert re.findall(r'expand\("(.*?)"', found["merge"]["input"]) == [
            "shards/{shard}.tsv",
            "shards/.{shard}.tsv.seqformers.json",
        ]
        tables.append(table)
    run_line(command["merge"].format(input=SimpleNamespace(tables=" ".join(tables)), output=config["output"]))
    assert (folder / config["output"]).read_bytes() == (folder / "single.tsv").read_bytes()


def test_the_nextflow_module(folder, tmp_path, monkeypatch):
    text = (NEXTFLOW / "seqformers.nf").read_text()
    processes = dict(re.findall(r"^process (\w+) \{(.*?)^\}", text, re.M | re.S))
    included = re.search(r"include \{ (.*?) \} from './seqformers.nf'", (NEXTFLOW / "main.nf").read_text())
    assert included and included[1].split("; ") == list(processes)
    script = {name: re.search(r'"""\n\s*(.*?)\n\s*"""', body, re.S)[1] for name, body in processes.items()}
    outputs = re.findall(r'path\("(.*?)"\)', processes["SEQFORMERS_PREDICT"].split("output:")[1])

    def filled(line, **values):
        known = {"meta.id": "sample", "task.cpus": 2, **values}
        return re.sub(r"\$\{(.*?)\}", lambda found: str(known[found[1]]), line)

    merging = tmp_path / "merge"  # every task has a folder of its own, with links to its inputs
    merging.mkdir()
    for shard in (1, 2, 3):
        task = tmp_path / str(shard)
        task.mkdir()
        for name in ("run", "contigs.fasta"):
            (task / name).symlink_to(folder / name)
        monkeypatch.chdir(task)
        run_line(filled(script["SEQFORMERS_PREDICT"], model="run", contigs="contigs.fasta", shard=shard, count=3))
        for output in outputs:
            name = filled(output, shard=shard)
            (merging / name).symlink_to(task / name)
    monkeypatch.chdir(merging)
    tables = " ".join(sorted(path.name for path in merging.glob("sample-*.tsv")))
    run_line(filled(script["SEQFORMERS_MERGE"], tables=tables))
    assert (merging / "sample.tsv").read_bytes() == (folder / "single.tsv").read_bytes()
