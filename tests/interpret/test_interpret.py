"""Profiles, mutations, gradients and motifs against slow references, planted truths and the original's numbers."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqformers import (
    KmerBertConfig,
    KmerBertForMaskedLM,
    KmerBertForSequenceClassification,
    KmerTokenizer,
)
from seqformers.cli import main
from seqformers.hub.load import Loaded, load_model
from seqformers.hub.repository import write_model_repository
from seqformers.inference.scores import Scorer
from seqformers.inference.windowing import Span
from seqformers.interpret.attention import attention_profile
from seqformers.interpret.explain import explain
from seqformers.interpret.gradients import gradient_profile
from seqformers.interpret.motifs import (
    count_matrix,
    discover_motifs,
    find_regions,
    level,
    merge_motifs,
    motif_enrichment,
    shared_parts,
)
from seqformers.interpret.mutagenesis import saturation_mutagenesis, variant_effects
from seqformers.interpret.plots import plot_logo
from seqformers.interpret.reading import cut_into_contexts, spread_to_bases
from tests.conftest import golden_cases
from tests.inference.runs import dna, dna_run

GOLDEN = {case["id"]: case for case in golden_cases("virbert")}


def sequence(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def tiny(head: type = KmerBertForSequenceClassification, **changes: Any) -> Loaded:
    values = {
        "k": 3,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
        "initializer_range": 0.5,
    }
    values |= changes
    torch.manual_seed(0)
    model = head(KmerBertConfig(**values)).eval()
    return Loaded(model, KmerTokenizer(k=values["k"], stride=values.get("stride", 1)), model.config)


# -- tokens to bases -------------------------------------------------------------------------------------------------


def test_bases_get_the_mean_of_their_kmers_as_in_the_original() -> None:
    case = GOLDEN["viz_nt_scores"]
    scores, k = np.array(case["input"]["kmer_scores"]), case["input"]["k"]
    starts = np.arange(len(scores))
    profile = spread_to_bases(scores, starts, starts + k, len(scores) + k - 1)
    assert profile.tolist() == pytest.approx(case["expected"]["mean"], abs=1e-6)


@given(st.data(), st.integers(1, 6), st.integers(1, 40))
def test_spreading_is_what_a_loop_would_do(data: Any, k: int, length: int) -> None:
    count = data.draw(st.integers(1, 12))
    starts = np.array(data.draw(st.lists(st.integers(0, length), min_size=count, max_size=count)))
    ends = np.minimum(starts + k, length)
    scores = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=count, max_size=count)))
    profile = spread_to_bases(scores, starts, ends, length)
    for base in range(length):
        covering = [s for s, a, b in zip(scores, starts, ends, strict=True) if a <= base < b]
        if covering:
            assert profile[base] == pytest.approx(np.mean(covering), abs=1e-9)
        else:
            assert math.isnan(profile[base])


@given(st.integers(1, 6), st.data(), st.integers(1, 120), st.integers(1, 20))
def test_windows_hold_every_token_once(k: int, data: Any, length: int, room: int) -> None:
    stride = data.draw(st.integers(1, k))
    length = max(length, k)
    letters = sequence(length)
    config = KmerBertConfig(k=k, stride=stride, max_position_embeddings=room + 2)
    spans = cut_into_contexts(Span(0, letters), Loaded(None, KmerTokenizer(k=k, stride=stride), config))
    starts = []
    for span in spans:
        assert letters[span.start : span.start + len(span.letters)] == span.letters
        count = (len(span.letters) - k) // stride + 1
        assert 1 <= count <= room
        starts += [span.start + place * stride for place in range(count)]
    assert starts == list(range(0, length - k + 1, stride))
    assert spans[-1].start + len(spans[-1].letters) == length


# -- attention -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_attention_profile_is_what_a_loop_would_do(stride: int) -> None:
    loaded = tiny(KmerBertForMaskedLM, stride=stride)
    letters, model = sequence(25), loaded.model
    ids = loaded.encoder(letters, return_tensors="pt").input_ids
    model.set_attn_implementation("eager")
    attention = model(ids, output_attentions=True).attentions[-1][0, :, 0].mean(0)[1:-1]
    model.set_attn_implementation("sdpa")
    expected = [[] for _ in letters]
    for token, score in enumerate(attention.tolist()):
        for base in range(token * stride, token * stride + 3):
            expected[base].append(score * len(attention))
    profile = attention_profile(loaded, letters)
    assert loaded.exact.config._attn_implementation == "sdpa"
    for base, scores in enumerate(expected):
        assert profile[base] == pytest.approx(np.mean(scores), abs=1e-5) if scores else math.isnan(profile[base])


@pytest.mark.parametrize("max_chunks", [1, 3])
def test_a_profile_is_the_same_for_any_batch_and_covers_every_base(max_chunks: int) -> None:
    loaded = tiny(max_chunks=max_chunks)
    for letters in (sequence(20, 1), sequence(9, 2), sequence(75, 3), sequence(200, 4)):
        profile = attention_profile(loaded, letters, batch_size=3)
        assert len(profile) == len(letters) and not np.isnan(profile).any()
        np.testing.assert_allclose(attention_profile(loaded, letters, batch_size=1), profile, atol=1e-12)


# -- mutations -------------------------------------------------------------------------------------------------------


def planted(batch: Any) -> np.ndarray:
    """A scorer that knows one motif."""
    return np.array([0.9 if "TATAAT" in letters else 0.2 for letters in batch])


def test_mutagenesis_finds_the_planted_motif() -> None:
    letters = "GGCGGC" + "TATAAT" + "GCCGCC"
    original, scores = saturation_mutagenesis(planted, letters, batch_size=7)
    assert original == 0.9 and scores.shape == (18, 4)
    for place, letter in enumerate(letters):
        for column, new in enumerate("ATGC"):
            expected = planted([letters[:place] + new + letters[place + 1 :]])[0]
            assert scores[place, column] == expected, (place, letter, new)
    assert (scores.min(1) < 0.9).nonzero()[0].tolist() == list(range(6, 12))


def test_effect_sizes_are_the_originals() -> None:
    case = GOLDEN["snp_scores"]
    difference, odds = variant_effects(case["input"]["orig"], np.array([case["input"]["mut"]]))
    assert difference[0] == pytest.approx(case["expected"]["diff"], abs=1e-6)
    assert odds[0] == pytest.approx(case["expected"]["logOR"], abs=1e-5)
    assert np.isfinite(variant_effects(1.0, np.array([0.0, 1.0]))[1]).all()
    assert variant_effects(5.0, np.array([3.0]), probability=False)[0].tolist() == [-2.0]


# -- scores and gradients --------------------------------------------------------------------------------------------


def test_scorer_gives_probabilities_and_names() -> None:
    scorer = Scorer(tiny(id2label={0: "virus", 1: "phage"}), batch_size=2)
    scores = scorer([sequence(12), sequence(20), sequence(9)])
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    assert scorer.column(None, scores[0]) == 1 and scorer.column("virus", scores[0]) == 0
    with pytest.raises(ValueError, match="virus, phage"):
        scorer.column("archaea", scores[0])
    with pytest.raises(ValueError, match="scores no sequences"):
        Scorer(tiny(KmerBertForMaskedLM))


@pytest.mark.parametrize("max_chunks", [1, 2])
def test_gradients_add_up_to_the_change_of_the_logit(max_chunks: int) -> None:
    pytest.importorskip("captum")
    loaded = tiny(max_chunks=max_chunks, initializer_range=0.2)
    letters, model = sequence(25 if max_chunks == 1 else 50), loaded.model
    profile = gradient_profile(loaded, letters, 1, steps=300)
    batch = loaded.encoder(letters, return_tensors="pt", truncation=False)
    embeds = model.get_input_embeddings()(batch.input_ids)
    empty = embeds.clone()
    empty[:, 1:-1] = 0
    mask = batch.attention_mask
    with torch.no_grad():
        change = (
            model(inputs_embeds=embeds, attention_mask=mask).logits
            - model(inputs_embeds=empty, attention_mask=mask).logits
        )
    assert profile.sum() == pytest.approx(change[0, 1].item(), abs=0.02)


def test_missing_extras_are_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ValueError, match=r"pip install 'seqformers\[interpret\]'"):
        gradient_profile(tiny(), sequence(20), 0)
    monkeypatch.setitem(sys.modules, "logomaker", None)
    with pytest.raises(ValueError, match=r"pip install 'seqformers\[interpret\]'"):
        plot_logo(count_matrix(["ACGT"]))


# -- motifs ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 6))
def test_regions_are_what_a_loop_would_do(values: list[float], min_length: int) -> None:
    scores = np.array(values)
    expected, start = [], None
    for place, value in enumerate([*values, -math.inf]):
        high = value > scores.mean() and value > 10 * scores.min()
        if high and start is None:
            start = place
        if not high and start is not None:
            if place - start >= min_length:
                expected.append([start, place])
            start = None
    assert find_regions(scores, min_length=min_length).tolist() == expected


def test_enrichment_is_the_hypergeometric_test() -> None:
    case = GOLDEN["motif_hypergeom"]
    found = motif_enrichment([case["input"]["motif"], "TTTTT"], case["input"]["pos"], case["input"]["neg"])
    assert found["p_value"][0] == pytest.approx(case["expected"]["p_raw"], abs=1e-6)
    assert (found["positives"][0], found["negatives"][0]) == (case["expected"]["x"], 0)
    assert found["p_value"][1] == pytest.approx(1.0) and found["q_value"][0] == pytest.approx(2 / 7)


def test_merging_joins_shifted_motifs_and_keeps_strangers_apart() -> None:
    groups = merge_motifs(["TATAATG", "TATAA", "CCGGGCC", "ATAAT"], min_length=5)
    assert groups == {"TATAA": ["TATAA", "ATAAT", "TATAATG"], "CCGGGCC": ["CCGGGCC"]}


def test_a_planted_motif_is_discovered() -> None:
    rng = np.random.default_rng(0)
    sequences, profiles, positive = [], [], []
    for number in range(60):
        letters, profile = sequence(80, number + 10), rng.uniform(1.0, 1.2, 80)
        if number % 2:
            place = int(rng.integers(15, 55))
            letters = letters[:place] + "TGACTCA" + letters[place + 7 :]
            profile[place : place + 7] = 20.0
        profile[0] = 0.01
        sequences.append(letters)
        profiles.append(profile)
        positive.append(bool(number % 2))
    (motif,) = discover_motifs(sequences, profiles, positive)
    assert motif.sequence == "TGACTCA" and motif.positives == 30 and motif.negatives <= 1
    assert motif.q_value < 1e-10 and len(motif.windows) == 30 and {len(item) for item in motif.windows} == {24}
    counts = count_matrix(motif.windows)
    assert counts.shape == (24, 4) and (counts.sum(1) == 30).all()
    consensus = "".join("ACGT"[column] for column in counts.argmax(1)[9:16])
    assert consensus == "TGACTCA" and counts[9:16].max(1).min() == 30


@given(st.lists(st.text("AC", max_size=9), max_size=6), st.integers(1, 3), st.integers(3, 9), st.integers(1, 3))
def test_shared_parts_are_what_a_loop_would_do(regions: list[str], least: int, most: int, at_least: int) -> None:
    texts = {
        region[start:end]
        for region in regions
        for start in range(len(region))
        for end in range(start + least, min(len(region), start + most) + 1)
    }
    held = {text: [(n, region.find(text)) for n, region in enumerate(regions) if text in region] for text in texts}
    expected = {
        text: places
        for text, places in held.items()
        if len(places) >= at_least
        and not any(len(held.get(more, [])) == len(places) for x in "AC" for more in (x + text, text + x))
    }
    assert shared_parts(regions, min_length=least, max_length=most, at_least=at_least) == expected


@pytest.mark.parametrize("height", [20.0, 1.3])
def test_a_motif_that_no_region_cuts_out_exactly_is_discovered(height: float) -> None:
    """Regions take one to three letters of the surroundings along; a profile may be nearly even."""
    rng = np.random.default_rng(0)
    sequences, profiles, positive = [], [], []
    for number in range(60):
        letters, profile = sequence(80, number + 10), rng.uniform(1.0, 1.05, 80)
        if number % 2:
            place = int(rng.integers(15, 55))
            letters = letters[:place] + "TGACTCAT" + letters[place + 8 :]
            profile[place - int(rng.integers(1, 4)) : place + 8 + int(rng.integers(1, 4))] = height
        sequences.append(letters)
        profiles.append(level(profile))
        positive.append(bool(number % 2))
    first = discover_motifs(sequences, profiles, positive)[0]
    assert first.sequence == "TGACTCAT" and first.positives == 30 and len(first.windows) == 30
    counts = count_matrix(first.windows)
    assert "".join("ACGT"[column] for column in counts.argmax(1)[8:16]) == "TGACTCAT"


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    loaded = tiny(id2label={0: "virus", 1: "phage"}, max_chunks=2)
    return write_model_repository(folder, loaded.model, tokenizer=loaded.encoder)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "reads.fasta"
    path.write_text(f">one first\n{sequence(30, 1)}\n>two/2\n{sequence(20, 2).lower()}\n>long\n{sequence(90, 3)}\n")
    return path


def command(monkeypatch: Any, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["seqformers", "explain", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_explain_writes_tables_and_pictures(run_folder: Path, fasta: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out"
    assert command(monkeypatch, run_folder, fasta, "--output", out, "--plots", 2) == 0
    attention, mutations, scores = (rows(out / f"{name}.tsv") for name in ("attention", "mutations", "scores"))
    assert [(row["id"], row["length"], row["label"]) for row in scores] == [
        ("one", "30", "phage"),
        ("two/2", "20", "phage"),
        ("long", "90", "phage"),
    ]
    assert [row["id"] for row in attention] == ["one"] * 30 + ["two/2"] * 20 + ["long"] * 90
    assert len(mutations) == 3 * (30 + 20 + 90)
    first = mutations[0]
    assert (first["position"], first["reference"]) == ("1", sequence(30, 1)[0])
    changed = first["alternative"] + sequence(30, 1)[1:]
    expected = Scorer(tiny(id2label={0: "virus", 1: "phage"}, max_chunks=2))([changed])[0, 1]
    assert float(first["score"]) == pytest.approx(expected, abs=1e-5)
    pictures = sorted(path.name for path in (out / "plots").iterdir())
    assert pictures == ["0001_one.png", "0001_one_mutations.png", "0002_two_2.png", "0002_two_2_mutations.png"]
    assert all(path.stat().st_size > 2000 for path in (out / "plots").iterdir())


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_explain_resumes_to_the_same_tables(run_folder: Path, fasta: Path, tmp_path: Path, monkeypatch: Any) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = ["--plots", 1, "-m", "attention", "-m", "mutations"]
    assert command(monkeypatch, run_folder, fasta, "-o", whole, *arguments) == 0
    with monkeypatch.context() as patch:
        patch.setattr("seqformers.interpret.explain._Job._draw", interrupt)
        assert command(patch, run_folder, fasta, "-o", broken, *arguments) == 130
    partial = tmp_path / "broken.partial"
    assert not broken.exists() and (partial / "scores.tsv").read_text().count("\n") == 2
    for name, keep in (("attention", 21), ("mutations", 37), ("scores", 1)):
        lines = (whole / f"{name}.tsv").read_text().splitlines(keepends=True)
        (partial / f"{name}.tsv").write_text("".join(lines[:keep]) + lines[keep][:3])
    assert command(monkeypatch, run_folder, fasta, "-o", broken, *arguments, "--label", "virus", "--resume") == 2
    assert command(monkeypatch, run_folder, fasta, "-o", broken, *arguments, "--resume") == 0
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(broken) for path in broken.rglob("*") if path.is_file())
    assert [name for name in files if (whole / name).read_bytes() != (broken / name).read_bytes()] == []
    assert not partial.exists()


def test_explain_finds_motifs_and_gradients(run_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("captum")
    pytest.importorskip("logomaker")
    many = tmp_path / "many.fasta"
    many.write_text("".join(f">{number}\n{sequence(25, number)}\n" for number in range(12)))
    out = tmp_path / "out"
    assert command(monkeypatch, run_folder, many, "-o", out, "-m", "motifs", "-m", "gradients", "--plots", 1) == 0
    assert list(rows(out / "gradients.tsv")[0]) == ["id", "position", "letter", "attribution"]
    assert (out / "motifs.tsv").read_text().startswith("motif\tmembers\tpositives")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (">a\nACGTACGTAA\n", ["-m", "saliency"], "unknown method saliency"),
        (">a\nACGTACGTAA\n", ["--label", "plant"], "virus, phage"),
        (">a\nAC\n", [], "record 'a' has 2 letters; a token needs 3"),
        ("", [], "is empty"),
        (">a\nACGTACGTAA\n", ["-m", "motifs"], "record the label explained"),
    ],
)
def test_mistakes_end_in_one_line(
    run_folder: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, content: str, arguments: list[str], message: str
) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(content)
    assert command(monkeypatch, run_folder, path, "-o", tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_mutations_agree_with_double_precision(tmp_path):
    run, letters = dna_run(tmp_path / "run"), dna(40, 3)
    (tmp_path / "in.fasta").write_text(f">a\n{letters}\n")
    folder = explain(run, tmp_path / "in.fasta", tmp_path / "out", methods=["mutations"], plots=0, progress=False)
    with (folder / "mutations.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    scorer = Scorer(load_model(run, "AutoModelForSequenceClassification", device="cpu"))
    _, exact = saturation_mutagenesis(lambda batch: scorer(batch)[:, 1], letters)
    assert len(rows) == 3 * len(letters)
    for row in rows:
        assert abs(float(row["score"]) - exact[int(row["position"]) - 1, "ATGC".index(row["alternative"])]) < 1e-5
    with pytest.raises(ValueError, match="int8"):
        explain(run, tmp_path / "in.fasta", tmp_path / "other", precision="int8", progress=False)
