"""Data sets by name: loading, building, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import seqformers
from seqformers import cli
from seqformers import datasets as data

OPTIONS = {"reads_per_genome": 5, "report_kmers": ()}


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"sequence": "".join(rng.choice(list("ACGT"), 1500)), "label": i % 2, "group": f"g{i}"} for i in range(20)]
    path = tmp_path / "genomes.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def build(table, tmp_path):
    def run(**options):
        return data.build_dataset(
            "phage", "reads-150", output=tmp_path / "out", data_dir=table, **{**OPTIONS, **options}
        )

    return run


@pytest.mark.parametrize("name", sorted(data.DATASETS))
def test_every_data_set_has_configurations_options_and_a_card(name):
    cls = data.builder_class(name)
    assert cls.BUILDER_CONFIGS and isinstance(data.builder_options(name), dict)
    card = Path(sys.modules[cls.__module__].__file__).with_name("README.md").read_text()
    assert card.startswith("---\n")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("phag",), {}, "no data set 'phag'; did you mean 'phage'"),
        (("phage", "reads-15"), {}, "no configuration 'reads-15'; did you mean 'reads-150'"),
        (("phage",), {"sede": 1}, "no option 'sede'; did you mean 'seed'"),
    ],
)
def test_misspellings_are_answered(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        seqformers.load_dataset(*arguments, **options)


def test_a_changed_file_is_not_answered_from_the_cache(table, tmp_path):
    def load():
        rows = seqformers.load_dataset("phage", data_dir=table, split="train", cache_dir=tmp_path / "cache", **OPTIONS)
        return rows["sequence"][:]

    first = load()
    assert load() == first
    frame = pd.read_parquet(table)
    frame["sequence"] = frame.sequence.str[::-1]
    frame.to_parquet(table)
    assert load() != first


def test_a_build_is_a_data_set_repository(build, tmp_path):
    import datasets

    folder = build()
    record = json.loads((folder / "build.json").read_text())
    loaded = datasets.load_dataset(str(folder), "reads-150", cache_dir=str(tmp_path / "cache"))
    assert record["splits"] == {name: split.num_rows for name, split in loaded.items()}
    assert record["options"]["reads_per_genome"] == 5 and record["config"] == "reads-150"
    assert str(tmp_path) not in (folder / "README.md").read_text() + json.dumps(record)
    assert not (tmp_path / "out.partial").exists()


def test_an_output_is_refused_replaced_or_kept(build, tmp_path):
    folder = build()
    with pytest.raises(FileExistsError, match="--overwrite"):
        build()
    stamp = (folder / "build.json").stat().st_mtime_ns
    assert build(resume=True) == folder and (folder / "build.json").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match=r"other settings .*seed"):
        build(resume=True, seed=1)
    build(overwrite=True, seed=1)
    assert json.loads((folder / "build.json").read_text())["options"]["seed"] == 1


def test_a_folder_of_the_user_is_never_replaced(build, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not replaced: it is no earlier output of `build`"):
        build(overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_a_failed_build_leaves_the_old_one(build, table):
    folder = build()
    pd.read_parquet(table).assign(label=1).to_parquet(table)
    with pytest.raises(ValueError, match="need both classes"):
        build(overwrite=True)
    assert (folder / "build.json").exists()
    pd.read_parquet(table).assign(label=[i % 2 for i in range(20)]).to_parquet(table)
    assert build(overwrite=True) == folder  # what the failed build left in the way is cleared


def test_a_build_that_was_killed_starts_again_and_gives_the_same_bytes(build, tmp_path, monkeypatch):
    from seqformers.datasets_scripts.phage.phage import PhageBuilder

    def contents(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    expected = contents(build())
    shutil.rmtree(tmp_path / "out")
    context = multiprocessing.get_context("fork")
    for name in ("_table", "report"):  # killed while rows are written, and after
        with monkeypatch.context() as patched:
            patched.setattr(PhageBuilder, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            process = context.Process(target=build)
            process.start()
            process.join(120)
        assert process.exitcode == -signal.SIGKILL
        assert (tmp_path / "out.partial").is_dir() and not (tmp_path / "out").exists()
        (tmp_path / "out.partial" / "torn.parquet").write_bytes(b"half")
    assert contents(build(resume=True)) == expected
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_nothing(build, tmp_path, monkeypatch, error):
    from seqformers.datasets_scripts.phage.phage import PhageBuilder

    def fail(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(PhageBuilder, "_table", fail)
        with pytest.raises(type(error)):
            build()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genomes.parquet"]
    assert build().name == "out"


def test_a_card_names_no_folder_of_this_machine(build, tmp_path):
    groups = tmp_path / "secret" / "groups.tsv"
    groups.parent.mkdir()
    groups.write_text("a\tb\n")
    folder = build(groups_file=str(groups))
    text = (folder / "README.md").read_text() + (folder / "build.json").read_text()
    assert "secret" not in text and "groups.tsv" in text


def test_the_command_lists_what_there_is():
    listed = CliRunner().invoke(cli.app, ["build", "list"]).output.split()
    assert listed == list(data.DATASETS)
    shown = CliRunner().invoke(cli.app, ["build", "phage", "--show-options"]).output
    assert "reads-1000" in shown and "gc_match=False" in shown


def test_a_mistake_is_one_line(tmp_path):
    words = [sys.executable, "-m", "seqformers.cli", "build", "phage", "--output", str(tmp_path / "o"), "seed"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: cannot read 'seed': write key=value, such as training.learning_rate=3e-4"
