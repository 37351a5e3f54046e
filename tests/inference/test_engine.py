"""The engine: batches in which a row is computed alike, threads, precisions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

import seqformers
from seqformers.hub.devices import one_thread, pick_precision, usable_cores
from seqformers.hub.load import load_model
from seqformers.inference.batches import make_batches, padded_length
from seqformers.inference.embed import embed, embed_records, residue_mask
from seqformers.inference.predict import predict
from seqformers.inference.windowing import Windowing
from tests.inference.runs import dna, dna_run, protein_run

LENGTHS = [3, 5, 18, 40, 61, 62, 64, 64, 64, 33, 20, 64, 7, 50]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dna_run(tmp_path_factory.mktemp("runs") / "run", hidden_size=32, num_hidden_layers=2)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "in.fasta"
    path.write_text("".join(f">r{i}\n{dna(n + 64 * (i % 3), i)}\n" for i, n in enumerate(3 * LENGTHS)))
    return path


@given(st.integers(1, 5000), st.one_of(st.none(), st.integers(1, 5000)))
def test_padded_lengths(tokens, most):
    length = padded_length(tokens, most)
    assert tokens <= length < max(tokens + 16, tokens * 1.13)
    assert most is None or length <= max(most, tokens)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_hold_every_window_once_as_the_tokenizer_reads_it(run, batch_size):
    loaded = load_model(run, "AutoModel", device="cpu")
    windows = [dna(n, i) for i, n in enumerate(LENGTHS)]
    seen = []
    for rows, inputs in make_batches(windows, loaded, batch_size, torch.device("cpu")):
        assert len(rows) <= batch_size
        lengths = inputs["attention_mask"].sum(1)
        assert (lengths == inputs["input_ids"].shape[1]).all() or (lengths < inputs["input_ids"].shape[1]).all()
        for place, row in enumerate(rows.tolist()):
            expected = loaded.encoder(windows[row])["input_ids"]
            assert inputs["input_ids"][place][inputs["attention_mask"][place] != 0].tolist() == list(expected)
            seen.append(row)
    assert sorted(seen) == list(range(len(windows)))


def exact_vectors(run, fasta):
    """One window at a time, in double precision."""
    loaded = load_model(run, "AutoModel", device="cpu")
    model = loaded.exact
    cut = Windowing().for_model(loaded)
    for record in seqformers.datasets_scripts.common.fasta.read_fasta(fasta):
        vectors = []
        for span in cut.cut(record.sequence):
            batch = loaded.encoder([span.letters], return_tensors="pt")
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state[0]
            vectors.append(hidden[residue_mask(batch, loaded.encoder)[0]].mean(0).numpy())
        yield np.mean(vectors, axis=0)


# In units of the largest number of the vector; stated in the docstrings and the help.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.02, "int8": 0.1}


@pytest.mark.parametrize("precision", TOLERANCE)
def test_vectors_agree_with_double_precision(run, fasta, tmp_path, precision):
    path = embed(run, fasta, tmp_path / "v.parquet", precision=precision, progress=False)
    for vector, exact in zip(pd.read_parquet(path)["embedding"], exact_vectors(run, fasta), strict=True):
        assert np.abs(vector - exact).max() <= TOLERANCE[precision] * np.abs(exact).max()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_scores_beside_fp32(run, fasta, tmp_path, precision):
    exact = pd.read_csv(predict(run, fasta, tmp_path / "e.tsv", progress=False), sep="\t")
    other = pd.read_csv(predict(run, fasta, tmp_path / "o.tsv", precision=precision, progress=False), sep="\t")
    apart = np.abs(exact["score"] - other["score"]).max()
    assert apart <= {"fp32": 0, "bf16": 0.01, "int8": 0.05}[precision]
    assert apart > 0 or precision == "fp32"  # the other precisions are really used


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("verb", "suffix"), [(predict, "tsv"), (embed, "jsonl")])
def test_how_it_is_run_changes_no_byte(run, fasta, tmp_path, monkeypatch, precision, verb, suffix):
    verb(run, fasta, tmp_path / f"a.{suffix}", precision=precision, progress=False)
    monkeypatch.setattr("seqformers.inference.engine._WINDOWS_AT_ONCE", 5)
    monkeypatch.setattr("seqformers.inference.engine.usable_cores", lambda: 3)
    verb(run, fasta, tmp_path / f"b.{suffix}", precision=precision, batch_size=2, progress=False)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_records_are_consumed_as_needed_and_leave_in_order(run, monkeypatch):
    monkeypatch.setattr("seqformers.inference.engine._WINDOWS_AT_ONCE", 8)
    loaded, taken = load_model(run, "AutoModel", device="cpu"), []

    class Record:
        def __init__(self, number):
            self.id, self.sequence = f"r{number}", dna(40 + number, number)

    def records():
        for number in range(60):
            taken.append(number)
            yield Record(number)

    for number, row in enumerate(embed_records(records(), loaded, batch_size=8)):
        assert row["id"] == f"r{number}"
        assert len(taken) <= number + 2 * 8 + 2 * 8  # groups that run and the one that is read
    assert len(taken) == 60


def test_an_error_in_the_model_comes_out_and_the_threads_end(run, monkeypatch):
    loaded = load_model(run, "AutoModel", device="cpu")
    monkeypatch.setattr(loaded.model, "forward", lambda **_: 1 / 0)
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        list(embed_records([type("R", (), {"id": "a", "sequence": dna(50, 0)})], loaded))
    assert torch.get_num_threads() == before


def test_precisions_by_name(run, fasta, tmp_path):
    assert pick_precision("auto", torch.device("cpu")) in ("fp32", "bf16")
    with pytest.raises(ValueError, match="precision is one of auto, fp32, bf16, int8"):
        predict(run, fasta, tmp_path / "p.tsv", precision="fp16", progress=False)
    with pytest.raises(ValueError, match="int8 runs on a CPU"):
        pick_precision("int8", torch.device("cuda"))
    with pytest.raises(ValueError, match="shards would not be those of one run"):
        predict(run, fasta, tmp_path / "p.tsv", precision="int8", shard="1/2", progress=False)


def test_a_resume_in_another_precision_is_refused(run, fasta, tmp_path):
    predict(run, fasta, tmp_path / "p.tsv", precision="bf16", progress=False)
    with pytest.raises(ValueError, match="precision: then 'bf16', now None"):
        predict(run, fasta, tmp_path / "p.tsv", resume=True, progress=False)


def test_shards_in_bf16_merge_to_the_single_run(run, fasta, tmp_path):
    for shard in ("1/2", "2/2"):
        predict(run, fasta, tmp_path / f"{shard[0]}.tsv", precision="bf16", shard=shard, progress=False)
    whole = predict(run, fasta, tmp_path / "w.tsv", precision="bf16", progress=False)
    merged = seqformers.merge([tmp_path / "1.tsv", tmp_path / "2.tsv"], tmp_path / "m.tsv")
    assert merged.read_bytes() == whole.read_bytes()


def test_cores_follow_torch_and_the_container(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(6), raising=False)
    for text, cores in (("max 100000", 6), ("250000 100000", 3), ("10000 100000", 1), ("", 6)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr("seqformers.hub.devices._QUOTA", tmp_path / "cpu.max")
        assert usable_cores() == cores


def test_on_one_thread_products_of_numpy_are_too():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        with one_thread():
            assert set(threads()) == {1}
        assert threads() == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_agrees(run, fasta, tmp_path, precision):
    pytest.importorskip("openvino")
    options = {"engine": "openvino", "precision": precision, "progress": False}
    path = embed(run, fasta, tmp_path / "v.parquet", **options)
    for vector, exact in zip(pd.read_parquet(path)["embedding"], exact_vectors(run, fasta), strict=True):
        assert np.abs(vector - exact).max() <= TOLERANCE[precision] * np.abs(exact).max()
    again = embed(run, fasta, tmp_path / "w.parquet", batch_size=3, **options)
    assert again.read_bytes() == path.read_bytes()
    scores = predict(run, fasta, tmp_path / "o.tsv", **options)
    local = predict(run, fasta, tmp_path / "e.tsv", progress=False)
    if precision == "fp32":
        assert scores.read_bytes() == local.read_bytes()  # the written digits are those of the exact score
    else:
        apart = pd.read_csv(scores, sep="\t")["score"] - pd.read_csv(local, sep="\t")["score"]
        assert 0 < np.abs(apart).max() <= 0.01
    with pytest.raises(ValueError, match="last layer only"):
        embed(run, fasta, tmp_path / "x.parquet", layer=0, **options)


def test_without_openvino_its_extra_is_named(run, fasta, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ValueError, match=r"seqformers\[openvino\]"):
        predict(run, fasta, tmp_path / "p.tsv", engine="openvino", progress=False)


def test_proteins_too(tmp_path):
    run = protein_run(tmp_path / "run")
    (tmp_path / "in.fasta").write_text(">a\nMKVLAAGIVG\n>b\nMKVLAAGIVGLLLAQWERTYEEFILPQ\n")
    one = pd.read_parquet(embed(run, tmp_path / "in.fasta", tmp_path / "a.parquet", progress=False))
    for vector, exact in zip(one["embedding"], exact_vectors(run, tmp_path / "in.fasta"), strict=True):
        assert np.abs(vector - exact).max() <= 1e-5 * np.abs(exact).max()
