"""Scores of variants against slow references: masked and causal language models, classifiers, both strands."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from seqformers import (
    KmerBertConfig,
    KmerBertForMaskedLM,
    KmerBertForSequenceClassification,
    KmerTokenizer,
)
from seqformers.hub.load import Loaded
from seqformers.hub.repository import write_model_repository
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.explain import explain
from seqformers.interpret.variants import log_ratios

K = 3
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 22, "initializer_range": 0.5,
}  # fmt: skip
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"


def bases(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def masked(stride: int = 1) -> Loaded:
    torch.manual_seed(0)
    model = KmerBertForMaskedLM(KmerBertConfig(k=K, stride=stride, **SIZES)).eval()
    return Loaded(model, KmerTokenizer(k=K, stride=stride), model.config)


def causal() -> Loaded:
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(k=K)
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5,
        bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return Loaded(GPT2LMHeadModel(config).eval(), tokenizer, config)


def changed(text: str, at: int, letters: str) -> str:
    return text[:at] + letters + text[at + len(letters) :]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("at", "letters"), [(10, "A"), (0, "T"), (9, "GT"), (17, "C")])
@torch.no_grad()
def test_masked_ratios_are_those_of_every_kmer_that_holds_the_letter(at: int, letters: str, stride: int) -> None:
    loaded, text = masked(stride), bases(20)
    other = changed(text, at, letters)
    found = log_ratios(loaded, [text, bases(14, 1)], [other, changed(bases(14, 1), 3, "A")])[0]
    kmers = [text[start : start + K] for start in range(0, 20 - K + 1, stride)]
    new = [other[start : start + K] for start in range(0, 20 - K + 1, stride)]
    places = [place for place, (one, two) in enumerate(zip(kmers, new, strict=True)) if one != two]
    vocabulary = loaded.encoder.get_vocab()
    ids = [2, *(4 if place in places else vocabulary[kmer] for place, kmer in enumerate(kmers)), 3]
    shares = loaded.exact(torch.tensor([ids])).logits[0].log_softmax(-1)
    ratios = [
        float(shares[place + 1, vocabulary[new[place]]] - shares[place + 1, vocabulary[kmers[place]]])
        for place in places
    ]
    assert found == pytest.approx(np.mean(ratios), abs=1e-9) if places else np.isnan(found)


@torch.no_grad()
def test_causal_ratios_are_those_of_whole_sequences() -> None:
    loaded, text = causal(), bases(20)
    other = changed(text, 8, "A" if text[8] != "A" else "C")
    totals = []
    for each in (text, other):
        ids = loaded.encoder(each)["input_ids"]
        total = 0.0
        for place in range(1, len(ids) - 1):  # [CLS] begins, [SEP] is not part of the sequence
            shares = loaded.exact(torch.tensor([ids[:place]])).logits[0, -1].log_softmax(-1)
            total += float(shares[ids[place]])
        totals.append(total)
    found = log_ratios(loaded, [text, bases(9)], [other, bases(9)])
    assert found[0] == pytest.approx(totals[1] - totals[0], abs=1e-9)
    assert np.isnan(found[1])


@pytest.mark.parametrize("make", [masked, causal])
def test_the_way_back_is_the_opposite(make: Any) -> None:
    loaded, text = make(), bases(20)
    others = [changed(text, at, "ACGT"["CGTA".index(text[at])]) for at in range(20)]
    there, back = log_ratios(loaded, [text] * 20, others), log_ratios(loaded, others, [text] * 20, batch_size=3)
    np.testing.assert_allclose(there, -back, atol=1e-9)


@pytest.fixture
def genome(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """A genome of two contigs, and calls in another order than it."""
    letters = {"chr1": bases(60, 3), "chr2": bases(30, 4).lower()}
    fasta, vcf = tmp_path / "genome.fa", tmp_path / "calls.vcf"
    fasta.write_text("".join(f">{name} text\n{text}\n" for name, text in letters.items()))
    lines = []
    for contig, position in (("chr2", 5), ("chr1", 1), ("chr1", 33), ("chr1", 60)):
        reference = letters[contig][position - 1].upper()
        others = [letter for letter in "ACGT" if letter != reference]
        lines.append(f"{contig}\t{position}\trs{position}\t{reference}\t{','.join(others[:2])}\n")
    vcf.write_text(HEADER + "".join(lines))
    return fasta, vcf, letters


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "variants.tsv").open(), delimiter="\t"))


def test_rows_are_in_the_order_of_the_file_and_strands_are_averaged(genome: Any, tmp_path: Path) -> None:
    fasta, vcf, letters = genome
    loaded = masked()
    write_model_repository(tmp_path / "run", loaded.model, tokenizer=loaded.encoder)
    explain(tmp_path / "run", fasta, tmp_path / "out", methods=["variants"], variants=vcf, progress=False)
    rows = rows_of(tmp_path / "out")
    assert [(row["contig"], row["position"]) for row in rows[::2]] == [
        ("chr2", "5"), ("chr1", "1"), ("chr1", "33"), ("chr1", "60"),
    ]  # fmt: skip
    for row in rows:
        assert float(row["score"]) == pytest.approx((float(row["forward"]) + float(row["reverse"])) / 2, abs=2e-6)
    # A window of 22 bases (20 tokens) around position 33, worked out by hand.
    row, text = rows[4], letters["chr1"][22:44]
    other = changed(text, 10, row["alternative"])
    assert float(row["forward"]) == pytest.approx(log_ratios(loaded, [text], [other])[0], abs=1e-6)
    turned = log_ratios(loaded, [reverse_complement(text)], [reverse_complement(other)])[0]
    assert float(row["reverse"]) == pytest.approx(turned, abs=1e-6)


def test_a_causal_model_and_a_classifier_score_variants_too(genome: Any, tmp_path: Path) -> None:
    fasta, vcf, _ = genome
    loaded = causal()
    loaded.model.save_pretrained(tmp_path / "gpt")
    loaded.encoder.save_pretrained(tmp_path / "gpt")
    torch.manual_seed(0)
    model = KmerBertForSequenceClassification(KmerBertConfig(k=K, **SIZES)).eval()
    write_model_repository(tmp_path / "run", model, tokenizer=KmerTokenizer(k=K))
    for name in ("gpt", "run"):
        explain(tmp_path / name, fasta, tmp_path / f"{name}-out", methods=["variants"], variants=vcf, progress=False)
        rows = rows_of(tmp_path / f"{name}-out")
        assert len(rows) == 8 and np.std([float(row["score"]) for row in rows]) > 1e-4


def test_mistakes_are_named(genome: Any, tmp_path: Path) -> None:
    fasta, vcf, letters = genome
    loaded = masked()
    write_model_repository(tmp_path / "run", loaded.model, tokenizer=loaded.encoder)
    right = letters["chr1"][9]
    wrong = next(letter for letter in "ACGT" if letter != right)

    def run(text: str, **options: Any) -> Path:
        vcf.write_text(HEADER + text)
        return explain(
            tmp_path / "run", fasta, tmp_path / "bad", methods=["variants"], variants=vcf, progress=False, **options
        )

    with pytest.raises(
        ValueError, match=f"line 3: REF of chr1:10 {wrong}>{right} is {wrong}, but .* has {right} there"
    ):
        run(f"chr1\t10\t.\t{wrong}\t{right}\n")
    with pytest.raises(ValueError, match=r"speaks of '1', which .* calls 'chr1'"):
        run(f"1\t10\t.\t{right}\t{wrong}\n")
    with pytest.raises(ValueError, match=r"holds no substitution.*1 insertions"):
        run(f"chr1\t10\t.\t{right}\t{right}A\n")
    with pytest.raises(ValueError, match=r"--variants CALLS\.vcf together"):
        explain(tmp_path / "run", fasta, tmp_path / "bad", methods=["variants"], progress=False)
    with pytest.warns(UserWarning, match="1 variants left out"):
        out = run(f"chr1\t10\t.\t{wrong}\t{right}\nchr1\t10\t.\t{right}\t{wrong}\n", on_error="skip")
    assert len(rows_of(out)) == 1
    both = f"chr1\t10\t.\t{right}\t{wrong}\n"
    with pytest.warns(UserWarning, match="1 variants left out.*has no sequence 'chrUn'"):
        explain(
            tmp_path / "run", fasta, tmp_path / "few", methods=["variants"], progress=False, on_error="skip",
            variants=written(vcf, f"chrUn\t3\t.\tA\tC\n{both}"),
        )  # fmt: skip
    assert len(rows_of(tmp_path / "few")) == 1


def written(vcf: Path, text: str) -> Path:
    vcf.write_text(HEADER + text)
    return vcf


def test_compressed_lower_case_and_odd_alleles_are_read_or_counted(genome: Any, tmp_path: Path) -> None:
    fasta, _, letters = genome
    loaded = masked()
    write_model_repository(tmp_path / "run", loaded.model, tokenizer=loaded.encoder)
    at = [letters["chr1"][place - 1] for place in (40, 10)]
    others = [next(letter for letter in "ACGT" if letter != base) for base in at]
    lines = [
        f"chr1\t40\t.\t{at[0].lower()}\t{others[0].lower()},*,<DEL>\r\n",  # lower case, no letters
        f"chr1\t10\t.\t{at[1]}\t.\r\n",  # no alternative, and not in the order of the genome
        f"chr1\t10\t.\t{at[1]}\t{at[1]}TT,{others[1]}\r\n",  # an insertion beside a substitution
    ]
    packed = tmp_path / "calls.vcf.gz"
    packed.write_bytes(gzip.compress((HEADER + "".join(lines)).encode()))
    with pytest.warns(UserWarning) as warned:
        explain(tmp_path / "run", fasta, tmp_path / "out", methods=["variants"], variants=packed, progress=False)
    said = " ".join(str(each.message) for each in warned)
    assert "3 alternatives that are no letters" in said and "1 insertions, deletions" in said
    found = [(row["position"], row["reference"], row["alternative"]) for row in rows_of(tmp_path / "out")]
    assert found == [("40", at[0], others[0]), ("10", at[1], others[1])]
