"""Every verb on a cluster: the bytes of a single run, a worker killed on the way, and what is refused."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from typer.testing import CliRunner

import seqformers
from seqformers import clusters
from seqformers.cli import app
from seqformers.clusters import check_engine, run_shards, start_cluster
from seqformers.files import Output, record_of_output
from seqformers.guides.score import score_guides
from seqformers.inference.embed import embed
from seqformers.inference.predict import predict
from seqformers.phages.find import find_phage_files
from seqformers.proteins.annotate import annotate_proteins
from seqformers.tables import RowFile
from seqformers.targets.scan import scan_target_files
from tests.inference.runs import dna, dna_run

VERBS = ("scan-targets", "score-guides", "find-phages", "annotate-proteins", "build")
PROTEINS = ("MKKLLFAIPLVVPFYSHSAGG", "MAELLKKAAEELLKKLEEAAKKAGG", "MSTNPKPQRKTKRNTNRRPQDVKF", "GGAAGGAAGGX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small inputs of every verb."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "in.fasta").write_text("".join(f">r{i}\n{dna(600 + 40 * i, i)}\n" for i in range(6)) + ">short\nACGT\n")
    (folder / "mirna.fa").write_text("".join(f">m{i}\n{dna(22, 50 + i)}\n" for i in range(2)) + ">m1\nACGTACGTACGT\n")
    (folder / "mrna.fa").write_text("".join(f">u{i}\n{dna(n, i)}\n" for i, n in enumerate((300, 45, 20))))
    (folder / "proteins.fa").write_text("".join(f">p{i}\n{text}*\n" for i, text in enumerate(PROTEINS)))
    rows = [{"sequence": dna(1500, i), "label": i % 2, "group": f"g{i}"} for i in range(12)]
    pd.DataFrame(rows).to_parquet(folder / "genomes.parquet")
    return folder


def job_of(verb, folder):
    """The function behind a verb, all but the output given."""
    quiet = {"progress": False, "on_error": "skip"}
    return {
        "predict": partial(predict, folder / "run", folder / "in.fasta", **quiet),
        "embed": partial(embed, folder / "run", folder / "in.fasta", **quiet),
        "scan-targets": partial(scan_target_files, folder / "mirna.fa", folder / "mrna.fa", **quiet),
        "score-guides": partial(score_guides, folder / "in.fasta", model="fast", **quiet),
        "find-phages": partial(find_phage_files, folder / "in.fasta", **quiet),
        "annotate-proteins": partial(annotate_proteins, folder / "proteins.fa", **quiet),
        "build": partial(
            seqformers.build_dataset, "phage", "reads-150", data_dir=folder / "genomes.parquet", reads_per_genome=5,
            report_kmers=(),
        ),
    }[verb]  # fmt: skip


def files_of(output):
    """Relative path -> bytes, the record of the output included."""
    paths = [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else [output]
    found = {path.name if path == output else path.relative_to(output).as_posix(): path.read_bytes() for path in paths}
    return found | {"record": record_of_output(output).read_bytes()}


def lines_of(report):
    """What a report says."""
    return getattr(report, "remarks", report).lines() if not isinstance(report, Path) else []


def assert_same(folder, single, other):
    """Two outputs named `out` in different folders."""
    assert files_of(folder / other / "out.tsv") == files_of(folder / single / "out.tsv")
    assert {path.name for path in (folder / other).iterdir() if path.suffix != ".lock"} <= {
        "out.tsv", ".out.tsv.seqformers.json", "killed",
    }  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_shards_joined_are_the_single_run(verb, folder, tmp_path, shards_here):
    """Without Ray: that each verb is cut, joined and reported as a cluster does it."""
    job = job_of(verb, folder)
    single = job(output=tmp_path / "one" / "out.tsv")
    report = job(output=tmp_path / "ray" / "out.tsv", engine="ray")
    assert_same(tmp_path, "one", "ray")
    assert lines_of(report) == lines_of(single)


def killed_at_the_first_rows(job, output, shard, here):
    """`_run_shard`; the process of the second shard is killed (-9) once, when its first rows are on the disk."""
    mark, write = output.parent.parent / "killed", RowFile.write

    def write_and_die(self, rows):
        write(self, rows)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    if mark.exists() or not shard.startswith("2/"):
        return clusters._run_shard(job, output, shard, here)
    if output.suffix == "" or "build_dataset" in repr(job):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with patch.object(RowFile, "write", write_and_die):
        return clusters._run_shard(job, output, shard, here)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_worker_loses_nothing(verb, folder, tmp_path, ray_cluster, monkeypatch):
    job = job_of(verb, folder)
    job(output=tmp_path / "one" / "out.tsv")
    parts = [tmp_path / "parts" / f"{number}.tsv" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        job(output=part, shard=f"{number}/2")
    seqformers.merge(parts, tmp_path / "merged" / "out.tsv")
    monkeypatch.setattr(clusters, "_run_shard", killed_at_the_first_rows)
    monkeypatch.chdir(tmp_path)
    job(output="ray/out.tsv", engine="ray")
    assert (tmp_path / "ray" / "killed").exists()
    assert_same(tmp_path, "one", "merged")
    assert_same(tmp_path, "one", "ray")


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "suffix"), [("predict", ".tsv"), ("embed", ".jsonl")])
def test_streamed_records_are_the_single_run(verb, suffix, folder, tmp_path, ray_cluster):
    if not (folder / "run").exists():
        dna_run(folder / "run")
    job = job_of(verb, folder)
    job(output=tmp_path / f"one{suffix}")
    for number in (1, 2):
        job(output=tmp_path / f"{number}{suffix}", shard=f"{number}/2")
    seqformers.merge([tmp_path / f"{number}{suffix}" for number in (1, 2)], tmp_path / f"merged{suffix}")
    job(output=tmp_path / f"ray{suffix}", engine="ray")
    whole = (tmp_path / f"one{suffix}").read_bytes()
    assert (tmp_path / f"merged{suffix}").read_bytes() == whole == (tmp_path / f"ray{suffix}").read_bytes()


@pytest.mark.slow
def test_what_a_shard_refuses_comes_out_as_itself(folder, tmp_path, ray_cluster):
    with pytest.raises(ValueError, match="PAM 'TTT' must be 4 IUPAC letters"):
        score_guides(folder / "in.fasta", tmp_path / "bad.tsv", model="fast", engine="ray", pam="TTT")
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_what_is_made_of_the_whole_comes_last(folder, tmp_path, shards_here, monkeypatch):
    job = job_of("annotate-proteins", folder)
    job(output=tmp_path / "a.tsv", gff=tmp_path / "a.gff3")
    options = {"output": tmp_path / "b.tsv", "gff": tmp_path / "b.gff3", "engine": "ray"}
    job(**options)
    assert (tmp_path / "b.gff3").read_bytes() == (tmp_path / "a.gff3").read_bytes()
    with pytest.raises(FileExistsError, match="is made last"):
        job(**options, overwrite=True)
    before = (tmp_path / "b.tsv").stat().st_mtime_ns
    monkeypatch.setattr(clusters, "_on_cluster", lambda *_: pytest.fail("nothing is left to do"))
    job(**options, resume=True)
    assert (tmp_path / "b.tsv").stat().st_mtime_ns == before


def test_shards_of_another_run_stay(tmp_path, monkeypatch):
    """A folder where the shards would go is removed only if this job made it, and not while its run is on."""
    monkeypatch.setattr(clusters, "_on_cluster", lambda *_: pytest.fail("nothing may start"))
    place = tmp_path / ".o.tsv.shards"
    with (
        Output(place, "shards", settings={}, folder=True),
        pytest.raises(OSError, match="another process is writing"),
    ):
        run_shards(print, tmp_path / "o.tsv")
    foreign = tmp_path / ".o.tsv.shards.partial" / "notes.txt"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(FileExistsError, match="in the way"):
        run_shards(print, tmp_path / "o.tsv")
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize(
    ("engine", "address", "source", "message"),
    [
        ("dask", None, "a.fa", "engine is one of local, ray, not 'dask'"),
        ("local", "auto", "a.fa", "goes with --engine ray"),
        ("ray", None, "-", "pipe"),
    ],
)
def test_what_cannot_be(engine, address, source, message):
    with pytest.raises(ValueError, match=message):
        check_engine(engine, address, source)


def test_what_does_not_go_with_a_cluster(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_need_ray", lambda: None)
    monkeypatch.setattr(clusters, "_on_cluster", lambda *_: pytest.fail("nothing may start"))
    guides, table = job_of("score-guides", folder), tmp_path / "o.tsv"
    for job, options, message in (
        (guides, {"output": None}, "name the table with --output"),
        (guides, {"output": table, "shard": "1/2"}, "--shard does not go with --engine ray; it makes its own"),
        (guides, {"output": table, "off_target_table": table}, "--off-target-table does not go"),
        (guides, {"output": folder / "in.fasta", "overwrite": True}, "is the input"),
        (job_of("find-phages", folder), {"output": table, "fasta_out": tmp_path / "f"}, "--fasta-out does not go"),
        (job_of("build", folder), {"output": tmp_path / "d", "push_to_hub": "a/b"}, "--push-to-hub does not go"),
    ):
        with pytest.raises(ValueError, match=message):
            job(**options, engine="ray")


@pytest.mark.parametrize("verb", VERBS)
def test_without_ray_its_extra_is_named(verb, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"seqformers\[ray\]"):
        job_of(verb, folder)(output=tmp_path / "o", engine="ray")


class FakeRay:
    """The part of `ray` that a start needs; its first tries fail."""

    def __init__(self, failures):
        self.failures, self.tries, self.stopped = failures, 0, 0

    def init(self, **options):
        self.tries += 1
        if self.tries <= self.failures:
            raise Exception("The current node timed out during startup.")  # as Ray has it

    def shutdown(self):
        self.stopped += 1

    def is_initialized(self):
        return False


@pytest.mark.parametrize(("failures", "tries"), [(0, 1), (1, 2), (9, 2)])
def test_a_slow_start_is_tried_twice(failures, tries, monkeypatch):
    ray = FakeRay(failures)
    monkeypatch.setitem(sys.modules, "ray", ray)
    if failures < 2:
        start_cluster()
    else:
        with pytest.raises(OSError, match=r"tried twice .*timed out.*ray start --head"):
            start_cluster()
    assert (ray.tries, ray.stopped) == (tries, min(failures, 2))


def test_a_cluster_that_is_there_is_not_tried_twice(monkeypatch):
    ray = FakeRay(1)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(Exception, match="timed out"):
        start_cluster("10.0.0.1:6379")
    assert ray.tries == 1


@pytest.mark.parametrize(
    ("words", "function"),
    [
        (["scan-targets", "--mirna", "a", "--mrna", "b", "--precision", "bf16"], "targets.scan.scan_target_files"),
        (["score-guides", "a"], "guides.score.score_guides"),
        (["find-phages", "a"], "phages.find.find_phage_files"),
        (["annotate-proteins", "a"], "proteins.annotate.annotate_proteins"),
        (["build", "phage"], "datasets.build_dataset"),
    ],
)
def test_the_command_hands_on_where_to_run(words, function, monkeypatch):
    given = {}

    def record(*_, **options):
        given.update(options)
        raise ValueError("seen")

    monkeypatch.setattr(f"seqformers.{function}", record)
    result = CliRunner().invoke(app, [*words, "-o", "o", "--engine", "ray", "--ray-address", "auto"])
    assert str(result.exception) == "seen"
    assert (given["engine"], given["ray_address"]) == ("ray", "auto")
    assert given.get("precision", "bf16") == "bf16"
