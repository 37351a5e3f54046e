"""predict and embed: order, windows, strands, batch sizes, resuming, and input that is not what it should be."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import seqformers
from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.cli import app
from seqformers.hub.load import load_model, packaged_model
from seqformers.hub.repository import write_model_repository
from seqformers.inference.embed import embed
from seqformers.inference.engine import RecordResult
from seqformers.inference.predict import predict
from seqformers.inference.scores import Scorer, round_score
from seqformers.inference.windowing import reverse_complement
from seqformers.tables import TableWriter

RNG = np.random.default_rng(0)
LENGTHS = [300, 60, 6, 61, 5, 1000, 59, 120]


def dna(n):
    return "".join(RNG.choice(list("ACGT"), n))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(k=3, stride=1, model_max_length=64)
    config = KmerBertConfig(
        k=3, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.3, id2label={0: "non-phage", 1: "phage"},
        label2id={"non-phage": 0, "phage": 1},
    )  # fmt: skip
    return write_model_repository(
        tmp_path_factory.mktemp("run"), KmerBertForSequenceClassification(config), tokenizer=tokenizer
    )


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "contigs.fasta"
    path.write_text("".join(f">contig{i} some words\n{dna(n)}\n" for i, n in enumerate(LENGTHS)))
    return path


def slow_scores(run, path, window):
    """One window at a time, one record at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(run).eval()
    tokenizer = AutoTokenizer.from_pretrained(run)
    scores = []
    for record in seqformers.datasets_scripts.common.fasta.read_fasta(path):
        starts = list(range(0, max(len(record.sequence) - window, 0) + 1, window))
        if starts[-1] + window < len(record.sequence):
            starts.append(len(record.sequence) - window)
        probabilities = [
            model(**tokenizer(record.sequence[s : s + window], return_tensors="pt")).logits.softmax(-1)[0, 1].item()
            for s in starts
        ]
        scores.append((np.mean(probabilities), len(starts)))
    return scores


def test_scores_equal_one_window_at_a_time(run, fasta, tmp_path):
    predict(run, fasta, tmp_path / "p.tsv", window=60, progress=False)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert list(table.columns) == ["id", "label", "score", "num_windows"]
    assert table["id"].tolist() == [f"contig{i}" for i in range(len(LENGTHS))]
    expected = slow_scores(run, fasta, 60)
    assert table["num_windows"].tolist() == [windows for _, windows in expected]
    np.testing.assert_allclose(table["score"], [score for score, _ in expected], atol=6e-5)
    assert table["label"].tolist() == ["phage" if score >= 0.5 else "non-phage" for score in table["score"]]


@pytest.mark.parametrize("batch_size", [1, 7, 500])
@pytest.mark.parametrize(("verb", "suffix"), [(predict, "tsv"), (embed, "parquet"), (embed, "jsonl")])
def test_batch_size_and_threads_do_not_change_a_byte(run, tmp_path, batch_size, verb, suffix, monkeypatch):
    path = tmp_path / "many.fasta"
    path.write_text("".join(f">r{i}\n{dna(20 + 7 * i)}\n" for i in range(60)))
    verb(run, path, tmp_path / f"a.{suffix}", progress=False)
    monkeypatch.setattr("seqformers.inference.engine._WINDOWS_AT_ONCE", 5)
    monkeypatch.setattr("seqformers.inference.scores._WINDOWS_TO_LEARN", 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        verb(run, path, tmp_path / f"b.{suffix}", batch_size=batch_size, progress=False)
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_score_that_hangs_on_the_last_digits_is_read_again(run):
    """The digits written are those of the exact score, however far single precision is off (within what was seen)."""
    scorer = Scorer(load_model(run, "AutoModelForSequenceClassification", device="cpu"))
    result = RecordResult("r", "", [], np.array([[0.0, 0.0]]))
    scorer._apart, scorer._learned = 1e-6, 1_000
    calls = []
    for probability in np.linspace(0.31381, 0.31389, 81):
        logit = np.log(probability / (1 - probability))
        result.values = np.array([[0.0, logit + 1e-6]])
        scorer._logits = lambda _, logit=logit: calls.append(logit) or np.array([[0.0, logit]])
        written = scorer.round(float(scorer._settle(result)[1]))
        assert written == round_score(1 / (1 + np.exp(-logit)))
        scorer._apart = 1e-6
    assert 0 < len(calls) < 10  # only around 0.31385


@given(st.floats(0, 1), st.floats(0, 1))
def test_rounding_keeps_the_order(a, b):
    a, b = sorted((a, b))
    assert round_score(a) <= round_score(b) and abs(round_score(a) - a) <= 5.01e-4 * min(a, 1 - a) + 5.01e-8


def test_the_default_window_fills_the_context(run, fasta, tmp_path):
    predict(run, fasta, tmp_path / "p.tsv", progress=False)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert table["num_windows"].tolist() == [-(-n // 64) for n in LENGTHS]  # 62 3-mers cover 64 bases


def test_the_default_window_is_that_of_the_training_reads(run, fasta, tmp_path):
    import shutil

    other = tmp_path / "run"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "read_length": 50}))
    predict(other, fasta, tmp_path / "p.tsv", progress=False)
    assert pd.read_csv(tmp_path / "p.tsv", sep="\t")["num_windows"].tolist() == [-(-n // 50) for n in LENGTHS]


def test_both_strands_do_not_depend_on_the_strand(run, tmp_path):
    sequence = dna(200)
    (tmp_path / "f.fasta").write_text(f">fwd\n{sequence}\n>rev\n{reverse_complement(sequence)}\n")
    predict(run, tmp_path / "f.fasta", tmp_path / "p.jsonl", window=50, both_strands=True, progress=False)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert rows[0]["score"] == rows[1]["score"]
    assert rows[0]["num_windows"] == 8


def test_letters_lines_and_compression_do_not_matter(run, tmp_path):
    sequence = dna(150)
    wrapped = "\r\n".join(sequence[i : i + 40] for i in range(0, 150, 40))
    rna = sequence.replace("T", "U").lower()
    (tmp_path / "plain.fasta").write_text(f">a\n{sequence}\n")
    (tmp_path / "crlf.fasta").write_bytes(f">a\r\n{wrapped}\r\n".encode())
    (tmp_path / "rna.fasta").write_text(f">a\n{rna}\n")
    with gzip.open(tmp_path / "zip.fasta.gz", "wt") as file:
        file.write(f">a\n{sequence}\n")
    scores = set()
    for name in ("plain.fasta", "crlf.fasta", "rna.fasta", "zip.fasta.gz"):
        out = predict(run, tmp_path / name, tmp_path / f"{name}.tsv", progress=False)
        scores.add(out.read_text())
    assert len(scores) == 1


def test_records_without_a_token_get_an_empty_row_and_are_counted(run, tmp_path):
    (tmp_path / "f.fasta").write_text(f">n\n{'N' * 100}\n>short\nAC\n>good\n{dna(70)}\n>tail\n{'N' * 64}{dna(64)}\n")
    with pytest.warns(UserWarning, match="2 records hold no known token"):
        predict(run, tmp_path / "f.fasta", tmp_path / "p.tsv", progress=False)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert table["num_windows"].tolist() == [0, 0, 2, 1]
    assert table["score"].isna().tolist() == [True, True, False, False]


def test_repeated_ids_keep_their_rows_and_are_counted(run, tmp_path):
    (tmp_path / "f.fasta").write_text(f">a\n{dna(70)}\n>b\n{dna(70)}\n>a\n{dna(70)}\n")
    with pytest.warns(UserWarning, match="1 ids came more than once"):
        predict(run, tmp_path / "f.fasta", tmp_path / "p.tsv", progress=False)
    assert pd.read_csv(tmp_path / "p.tsv", sep="\t")["id"].tolist() == ["a", "b", "a"]


def test_iupac_letters_are_read(run, tmp_path):
    (tmp_path / "f.fasta").write_text(f">a\n{dna(30)}RYKMSWBDHVN{dna(30)}\n")
    predict(run, tmp_path / "f.fasta", tmp_path / "p.tsv", progress=False)
    assert pd.read_csv(tmp_path / "p.tsv", sep="\t")["score"].notna().all()


def interrupted_after(rows):
    write, written = TableWriter.write, []

    def stop(self, some):
        if len(written) == rows:
            raise KeyboardInterrupt
        written.append(1)
        return write(self, some)

    return stop


def test_resume_writes_the_missing_rows_only(run, fasta, tmp_path, monkeypatch):
    whole = predict(run, fasta, tmp_path / "whole.tsv", progress=False).read_text()
    lines = whole.splitlines(keepends=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TableWriter, "write", interrupted_after(4))
        predict(run, fasta, tmp_path / "p.tsv", progress=False)
    assert (tmp_path / "p.tsv.partial").read_text() == "".join(lines[:5])
    (tmp_path / "p.tsv.partial").write_text("".join(lines[:4]) + lines[4][:5])
    assert predict(run, fasta, tmp_path / "p.tsv", resume=True, progress=False).read_text() == whole
    with pytest.raises(FileExistsError, match="--overwrite"):
        predict(run, fasta, tmp_path / "p.tsv", progress=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world\n", "cannot be read at its start"),
        (b">p\nMKVLAAGIVGLLLAQWERTYEEFILPQ\n", "is this a protein"),
    ],
)
def test_files_that_are_not_dna(run, tmp_path, content, message):
    (tmp_path / "bad.fasta").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        predict(run, tmp_path / "bad.fasta", tmp_path / "p.tsv", progress=False)
    assert not (tmp_path / "p.tsv").exists()


def test_a_truncated_gz_names_the_last_whole_record(run, tmp_path):
    data = gzip.compress("".join(f">r{i}\n{dna(5000)}\n" for i in range(50)).encode())
    (tmp_path / "cut.fasta.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut\.fasta\.gz"):
        predict(run, tmp_path / "cut.fasta.gz", tmp_path / "p.tsv", progress=False)


def test_a_run_without_a_classifier_is_refused(tmp_path, fasta):
    config = KmerBertConfig(k=3, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    write_model_repository(tmp_path / "mlm", KmerBertForMaskedLM(config), tokenizer=KmerTokenizer(k=3))
    with pytest.raises(ValueError, match="no trained head"):
        predict(tmp_path / "mlm", fasta, tmp_path / "p.tsv", progress=False)
    with pytest.raises(ValueError, match="not a run folder"):
        predict(tmp_path, fasta, tmp_path / "q.tsv", progress=False)


@pytest.mark.parametrize(("family", "verb"), [("targetnet", "scan-targets"), ("deepcpf1", "score-guides")])
@pytest.mark.parametrize("function", [predict, embed])
def test_models_of_pairs_and_guides_name_their_command(tmp_path, fasta, family, verb, function):
    folder = packaged_model(family)
    with pytest.raises(ValueError, match=f"a {family} model, with a command of its own: seqformers {verb} --model"):
        function(folder, fasta, tmp_path / "p.parquet", progress=False)


# -- embed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_equal_one_window_at_a_time(run, fasta, tmp_path, pooling):
    from transformers import AutoModel, AutoTokenizer

    embed(run, fasta, tmp_path / "e.parquet", pooling=pooling, window=60, batch_size=5, progress=False)
    table = pd.read_parquet(tmp_path / "e.parquet")
    model, tokenizer = AutoModel.from_pretrained(run).eval(), AutoTokenizer.from_pretrained(run)
    record = next(iter(seqformers.datasets_scripts.common.fasta.read_fasta(fasta)))
    vectors = []
    for start in range(0, 300, 60):
        hidden = model(**tokenizer(record.sequence[start : start + 60], return_tensors="pt")).last_hidden_state[0]
        vectors.append((hidden[1:-1].mean(0) if pooling == "mean" else hidden[0]).detach().numpy())
    np.testing.assert_allclose(np.stack(table["embedding"])[0], np.mean(vectors, axis=0), atol=2e-5)
    assert np.stack(table["embedding"]).shape == (len(LENGTHS), 32)


def test_unknown_and_special_tokens_are_not_pooled(run, tmp_path):
    """Ns at the end change the attention but not which tokens are averaged: one known token stays one."""
    from transformers import AutoTokenizer

    from seqformers.inference.embed import residue_mask

    tokenizer = AutoTokenizer.from_pretrained(run)
    batch = tokenizer(["ACGTNNN", "ACGTACGTA"], padding=True, return_tensors="pt")
    assert residue_mask(batch, tokenizer).sum(1).tolist() == [2, 7]


def test_embed_refuses_what_cannot_work(run, fasta, tmp_path):
    with pytest.raises(ValueError, match="mean, cls"):
        embed(run, fasta, tmp_path / "e.parquet", pooling="max", progress=False)
    with pytest.raises(ValueError, match=r"\.parquet or \.jsonl"):
        embed(run, fasta, tmp_path / "e.tsv", progress=False)
    with pytest.raises(ValueError, match="hidden states 0 to 2"):
        embed(run, fasta, tmp_path / "e.jsonl", layer=9, progress=False)


# -- the command line ------------------------------------------------------------------------------------------------


def test_commands(run, fasta, tmp_path):
    runner = CliRunner()
    result = runner.invoke(app, ["predict", str(run), str(fasta), "--output", str(tmp_path / "p.parquet")])
    assert result.exit_code == 0, result.output
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == len(LENGTHS)
    result = runner.invoke(app, ["embed", str(run), str(fasta), "-o", str(tmp_path / "e.jsonl"), "--pooling", "cls"])
    assert result.exit_code == 0, result.output
    for verb in ("predict", "embed"):
        assert "Example" in runner.invoke(app, [verb, "--help"]).output
