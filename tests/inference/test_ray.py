"""The same rows from a local cluster of two workers, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from seqformers.hub.load import load_model
from seqformers.inference import ray_engine
from seqformers.inference.embed import embed, embed_records
from seqformers.inference.predict import predict
from tests.inference.runs import dna, dna_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dna_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "in.fasta"
    path.write_text("".join(f">r{i}\n{dna(20 + 13 * (i % 9), i)}\n" for i in range(60)) + ">n\nNNNNNN\n")
    return path


def killed_once(mark, records, *arguments, **options):
    """`embed_records` whose process is killed (-9) at the first block that holds record r30."""
    records = list(records)
    if any(record.id == "r30" for record in records) and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return embed_records(records, *arguments, **options)


def test_a_killed_worker_loses_nothing(run, fasta, tmp_path, ray_cluster, monkeypatch):
    embed(run, fasta, tmp_path / "local.jsonl", progress=False)
    monkeypatch.setattr("seqformers.inference.record_rows.RayJob", partial(ray_engine.RayJob, block=8))
    mark = tmp_path / "killed"
    monkeypatch.setattr("seqformers.inference.embed.embed_records", partial(killed_once, str(mark)))
    embed(run, fasta, tmp_path / "ray.jsonl", engine="ray", progress=False)
    assert mark.exists()
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


def test_a_shard_and_a_resume_on_ray(run, fasta, tmp_path, ray_cluster):
    with pytest.warns(UserWarning, match="1 records hold no known token"):
        predict(run, fasta, tmp_path / "local.tsv", shard="2/2", progress=False)
    whole = (tmp_path / "local.tsv").read_text()
    (tmp_path / "ray.tsv.partial").write_text("".join(whole.splitlines(keepends=True)[:8]))
    record = (tmp_path / ".local.tsv.seqformers.json").read_text()
    (tmp_path / "ray.tsv.partial.json").write_text(record)
    with pytest.warns(UserWarning, match="1 records hold no known token"):
        predict(run, fasta, tmp_path / "ray.tsv", shard="2/2", engine="ray", resume=True, progress=False)
    assert (tmp_path / "ray.tsv").read_text() == whole


def test_blocks_hold_every_record_in_order(run, fasta):
    loaded = load_model(run, "AutoModel", device="cpu")
    job = ray_engine.RayJob(
        embed_records, {"id": str}, run, "AutoModel", fasta, "dna", ray_engine.Windowing().for_model(loaded), 64,
        "cpu", "fp32", "raise", ray_engine.Shard(), 3, 7,
    )  # fmt: skip
    blocks = list(job.read())
    assert [len(block) for block in blocks] == [7] * 8 + [2]
    assert [name for block in blocks for name in block["id"].to_pylist()] == [f"r{i}" for i in range(3, 60)] + ["n"]
