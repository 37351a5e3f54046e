"""The packaged encoder of DNA: it loads by name, and its vectors depend on the sequence alone."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqformers import embed
from seqformers.datasets_scripts.phage.virome import write_virome
from seqformers.hub.load import load_model, packaged_model
from seqformers.inference.embed import embed_records
from seqformers.inference.windowing import Windowing


@pytest.fixture(scope="module")
def encoder():
    return load_model("genome_encoder", device="cpu")


def vectors(encoder, texts, **options):
    both = options.pop("both_strands", False)
    records = [SimpleNamespace(id=str(number), sequence=text) for number, text in enumerate(texts)]
    rows = embed_records(records, encoder, Windowing(None, None, both), **options)
    return np.array([row["embedding"] for row in rows], np.float32)


def genome(seed, length=2000):
    """Letters with a composition of their own."""
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGT"), length, p=rng.dirichlet([6] * 4)))


def reverse_complement(text):
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_it_is_small_whole_and_in_single_precision_once_loaded(encoder):
    assert sum(path.stat().st_size for path in packaged_model("genome_encoder").iterdir()) < 7_000_000
    assert {value.dtype for value in encoder.model.parameters()} == {torch.float32}
    assert (encoder.config.model_type, encoder.config.hidden_size, encoder.config.read_length) == (
        "coding_profile", 384, 1000,
    )  # fmt: skip


def test_a_vector_does_not_depend_on_its_batch(encoder):
    texts = [genome(seed, length) for seed, length in ((0, 150), (1, 2500), (2, 40), (3, 1000))]
    together = vectors(encoder, texts)
    alone = np.concatenate([vectors(encoder, [text], batch_size=1) for text in texts])
    assert np.array_equal(together, alone) and together.shape == (4, 384)


def test_case_rna_and_framing_change_nothing(encoder):
    text = genome(4, 600)
    plain, lower, rna = vectors(encoder, [text, text.lower(), text.replace("T", "U")])
    assert np.array_equal(plain, lower) and np.array_equal(plain, rna)


def test_short_reads_and_unknown_letters_have_vectors(encoder):
    text = genome(5, 300)
    found = vectors(encoder, ["A", text[:5], text, text[:150] + "N" * 30 + text[180:]])
    assert np.isfinite(found).all() and found.shape == (4, 384)
    assert np.corrcoef(found[2], found[3])[0, 1] > 0.8


def test_strands(encoder):
    texts = [genome(seed, 900) for seed in range(4)]
    turned = [reverse_complement(text) for text in texts]
    one, other = vectors(encoder, texts), vectors(encoder, turned)
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)) > 0.8  # frames begin elsewhere
    one, other = vectors(encoder, texts, both_strands=True), vectors(encoder, turned, both_strands=True)
    assert np.allclose(one, other, atol=1e-5 * np.abs(one).max())


def test_two_reads_of_a_genome_are_nearer_than_those_of_others(encoder, tmp_path):
    write_virome(tmp_path, families=6, members=1, codons=700)
    paths = sorted((tmp_path / "genomes").rglob("*.fasta"))
    genomes = ["".join(path.read_text().split("\n")[1:]) for path in paths]
    first = vectors(encoder, [text[:1000] for text in genomes])
    second = vectors(encoder, [text[1100:2100] for text in genomes])
    cosines = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (first, second)]
    cosines = cosines[0] @ cosines[1].T
    assert len(genomes) == 12 and cosines.diagonal().mean() > cosines.mean() + 0.05


def test_a_fresh_process_embeds_a_file_offline(tmp_path, encoder):
    texts = [genome(6, 700), genome(7, 200)]
    fasta = tmp_path / "reads.fasta"
    fasta.write_text("".join(f">read{number}\n{text}\n" for number, text in enumerate(texts)))
    words = ["-q", "embed", "genome_encoder", fasta, "-o", tmp_path / "there.jsonl"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-m", "seqformers.cli", *map(str, words)], check=True, env=offline, cwd=tmp_path)
    here = embed("genome", fasta, tmp_path / "here.jsonl", progress=False)
    assert (tmp_path / "there.jsonl").read_text() == here.read_text()
