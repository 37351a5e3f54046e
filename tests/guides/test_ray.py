"""Guides by shards on a local Ray cluster: the table of a single run, a worker killed on the way or not."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seqformers.files import Output
from seqformers.guides.score import score_guides
from seqformers.inference.ray_shards import run_shards
from tests.conftest import ROOT


@pytest.fixture
def fasta(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">r{row}\n{''.join(rng.choice(list('ACGT'), 400))}\n" for row in range(9)))
    return path


def killed_once(mark, source, *, shard, **options):
    """The first run of the second shard is killed (-9)."""
    if shard.startswith("2/") and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return score_guides(source, shard=shard, **options)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(fasta, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", object_store_memory=100_000_000)
    try:
        single = score_guides(fasta, tmp_path / "one.tsv", model="fast")
        mark = tmp_path / "killed"
        run_shards(partial(killed_once, str(mark), fasta, model="fast"), tmp_path / "killed.tsv")
        report = score_guides(fasta, tmp_path / "ray.tsv", model="fast", engine="ray", track=tmp_path / "t.png")
        with pytest.raises(ValueError, match="PAM 'TTT' must be 4 IUPAC letters"):
            score_guides(fasta, tmp_path / "bad.tsv", model="fast", engine="ray", pam="TTT")
    finally:
        ray.shutdown()
    assert mark.exists() and (tmp_path / "t.png").is_file()
    for name in ("killed.tsv", "ray.tsv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "one.tsv").read_bytes()
        assert not list(tmp_path.glob(f".{name}.shards*"))
    assert (report.rows, report.records, report.guides) == (single.rows, single.records, single.guides)


def test_shards_of_another_run_stay(tmp_path, monkeypatch):
    """A folder where the shards would go is removed only if this job made it, and not while its run is on."""
    monkeypatch.setattr("seqformers.inference.ray_shards._on_cluster", lambda *_: pytest.fail("nothing may start"))
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


def test_what_does_not_go_with_a_cluster(fasta, tmp_path):
    for options, message in (
        ({"engine": "openvino"}, "by the engine local, or by ray with --output"),
        ({"engine": "cloud"}, "engine is one of local, ray, openvino"),
        ({"ray_address": "auto"}, "goes with --engine ray"),
    ):
        with pytest.raises(ValueError, match=message):
            score_guides(fasta, tmp_path / "o.tsv", model="fast", **options)
