"""The worked Snakemake file and Nextflow module: their shell lines, run on a tiny input, give the single table."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from typer.main import get_command
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


def rules(file="Snakefile"):
    """Rule -> its shell command, its inputs and outputs by name (or one, unnamed), as they stand in the Snakefile."""
    found = {}
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", (SNAKEMAKE / file).read_text(), re.M):
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


ANSWERS = {"find-phages", "annotate-proteins", "scan-targets", "score-guides", "predict"}


def parsed(line):
    """The command that a shell line calls, and its options; the command line must know them all."""
    words = shlex.split(line)
    assert words[0].startswith("OMP_NUM_THREADS=") and words[1:3] == ["seqformers", "--quiet"]
    verb = get_command(app).commands[words[3]]
    return words[3], verb.make_context(words[3], words[4:]).params


def test_the_nextflow_processes_of_the_answers():
    text = (NEXTFLOW / "answers.nf").read_text()
    called = {}
    for process, body in re.findall(r"^process (\w+) \{(.*?)^\}", text, re.M | re.S):
        inputs = set(re.findall(r"path\((\w+)\)", body.split("output:")[0]))
        values = {"meta.id": "sample", "task.cpus": "2", "args": "", **{name: f"{name}.fa" for name in inputs}}
        script = re.search(r'"""\n\s*(.*?)\n\s*"""', body, re.S)[1]
        for name, given in re.findall(r'def (\w+) = \w+ \? "(.*?)" : ', body):
            script = script.replace(f"${{{name}}}", given)
        line = re.sub(r"\$\{(.*?)\}", lambda found, values=values: values[found[1]], script)
        verb, options = parsed(line)
        called[verb] = process
        given = {str(value) for value in options.values()} | {str(path) for path in options.get("genome") or []}
        outputs = [path.replace("${meta.id}", "sample") for path in re.findall(r'path\("(.*?)"\)', body)]
        assert {values[name] for name in inputs} | set(outputs) <= given, process
    assert set(called) == ANSWERS


class Files(list):
    """As Snakemake hands files to a wrapper: a list, some of it by name."""

    def __init__(self, plain, **names):
        super().__init__([*plain, *names.values()])
        self.names = names

    def items(self):
        return self.names.items()


def read_files(text):
    parts = re.findall(r'(?:(\w+)=)?"(.*?)"', text)
    return Files([path for name, path in parts if not name], **{name: path for name, path in parts if name})


def wrapped(monkeypatch, inputs, outputs, params, threads="1"):
    """The shell line that the wrapper runs."""
    lines = []
    module, package = ModuleType("snakemake.shell"), ModuleType("snakemake")
    module.shell = lines.append
    monkeypatch.setitem(sys.modules, "snakemake", package)
    monkeypatch.setitem(sys.modules, "snakemake.shell", module)
    job = SimpleNamespace(input=inputs, output=outputs, params=params, threads=threads, log_fmt_shell=lambda **_: "")
    runpy.run_path(str(SNAKEMAKE / "wrapper" / "wrapper.py"), {"snakemake": job})
    return lines[0]


def test_the_snakemake_wrapper_calls_every_command_of_the_answers(monkeypatch):
    called = set()
    for name, rule in rules("answers.smk").items():
        inputs, outputs = read_files(rule["input"]), read_files(rule["output"])
        params = dict(re.findall(r'(\w+)="(.*?)"', rule["params"]))
        verb, options = parsed(wrapped(monkeypatch, inputs, outputs, params, rule["threads"]))
        called.add(verb)
        given = {str(value) for value in options.values()} | {str(path) for path in options.get("genome") or []}
        assert {*inputs, *outputs} <= given and options["overwrite"], name
        assert rule["wrapper"] == '"file:wrapper"' and verb == params["command"]
    assert called == ANSWERS
    with pytest.raises(ValueError, match="must be one of find-phages"):
        wrapped(monkeypatch, Files(["a"]), Files(["b"]), {"command": "train"})
    with pytest.raises(ValueError, match="one output without a name"):
        wrapped(monkeypatch, Files(["a"]), Files([], track="b"), {"command": "score-guides"})


def test_the_wrapper_comes_with_what_snakemake_asks_for():
    folder = SNAKEMAKE / "wrapper"
    assert {path.name for path in folder.iterdir()} >= {"wrapper.py", "meta.yaml", "environment.yaml"}
    about = yaml.safe_load((folder / "meta.yaml").read_text())
    assert {"name", "description", "authors", "input", "output", "params"} <= set(about)
    assert set(re.findall(r"[a-z-]+", about["params"][0]["command"])) >= ANSWERS
    assert "seqformers" in yaml.safe_load((folder / "environment.yaml").read_text())["dependencies"]
