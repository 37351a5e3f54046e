"""Filters of convolutional networks: counts against a slow reference; a planted motif has to come out first."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from seqformers import KmerTokenizer, SeqCnnConfig, SeqCnnForSequenceClassification
from seqformers.cli import main
from seqformers.hub.repository import write_model_repository
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.explain import explain
from seqformers.interpret.filters import base_codes, filter_motifs, match_motifs, meme_text

PLANTED = "GATTACCA"


def test_counts_are_those_of_a_loop_over_all_windows() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGTN"), length)) for length in (30, 22, 30, 9)]
    codes = base_codes(texts)
    hits = np.maximum(rng.normal(size=(4, 3, 30)), 0)
    hits[:, 2] = 0  # a filter that nothing excites
    width, offset = 5, -2
    found = filter_motifs(lambda: [(codes[:2], hits[:2]), (codes[2:], hits[2:])], width, offset=offset)
    for index, motif in enumerate(found):
        limit, counts, sites, rows = 0.5 * hits[:, index].max(), np.zeros((width, 4)), 0, set()
        for row, text in enumerate(texts):
            for place in range(30):
                if hits[row, index, place] <= limit:
                    continue
                sites += 1
                rows.add(row)
                for step in range(width):
                    at = place + offset + step
                    if 0 <= at < len(text) and text[at] in "ACGT":
                        counts[step, "ACGT".index(text[at])] += 1
        assert np.array_equal(motif.counts, counts)
        assert (motif.sites, motif.sequences) == (sites, len(rows))
    assert found[2].information == pytest.approx(0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A network that has learnt to tell sequences with a planted motif, on either strand, from those without."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(400)]
    labels = np.arange(400) % 2
    for number in np.flatnonzero(labels):
        at, site = rng.integers(0, 52), PLANTED if rng.random() < 0.5 else reverse_complement(PLANTED)
        texts[number] = texts[number][:at] + site + texts[number][at + 8 :]
    torch.manual_seed(0)
    config = SeqCnnConfig(num_filters=[16], filter_widths=[11], pool_widths=[1], strands="shared", num_labels=2)
    model = SeqCnnForSequenceClassification(config)
    tokenizer = KmerTokenizer(k=1)
    batch = dict(tokenizer(texts, return_tensors="pt"), labels=torch.from_numpy(labels))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(10):
        for part in torch.randperm(400).split(50):
            optimizer.zero_grad()
            model(**{name: value[part] for name, value in batch.items()}).loss.backward()
            optimizer.step()
    assert model.eval()(**batch).logits.argmax(1).eq(batch["labels"]).float().mean() > 0.9
    write_model_repository(folder / "run", model, tokenizer=tokenizer)
    fasta = folder / "some.fasta"
    fasta.write_text("".join(f">s{number}\n{text}\n" for number, text in enumerate(texts[:200])))
    known = folder / "known.meme"
    names = [PLANTED, *("".join(rng.choice(list("ACGT"), 9)) for _ in range(60))]
    rows = {
        "A": "0.97 0.01 0.01 0.01",
        "C": "0.01 0.97 0.01 0.01",
        "G": "0.01 0.01 0.97 0.01",
        "T": "0.01 0.01 0.01 0.97",
    }
    motifs = [
        f"MOTIF {name}\n\nletter-probability matrix: alength= 4 w= {len(name)} nsites= 20 E= 0\n"
        + "".join(rows[letter] + "\n" for letter in name)
        for name in names
    ]
    known.write_text("MEME version 4\n\nALPHABET= ACGT\n\n" + "\n".join(motifs))
    return folder / "run", fasta, known


def either_strand(text: str) -> tuple[str, str]:
    return text, reverse_complement(text)


def test_the_most_informative_filter_is_the_planted_motif(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run, fasta, _ = trained
    explain(run, fasta, tmp_path / "out", methods=["filters"], plots=2, progress=False)
    rows = list(csv.DictReader((tmp_path / "out" / "filters.tsv").open(), delimiter="\t"))
    assert len(rows) == 8  # half of the channels: the others are their reverse complements
    first = max(rows, key=lambda row: float(row["information"] or 0))
    assert any(PLANTED[1:7] in strand.upper() for strand in either_strand(first["consensus"]))
    assert len(list((tmp_path / "out" / "plots").iterdir())) == 2
    text = (tmp_path / "out" / "filters.meme").read_text()
    assert text.count("MOTIF filter_") == sum(int(row["sites"]) > 0 for row in rows)


def test_gradients_and_motif_search_find_it_too(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("captum")
    run, fasta, _ = trained
    some = tmp_path / "few.fasta"
    some.write_text("".join(fasta.read_text().splitlines(keepends=True)[:120]))
    explain(run, some, tmp_path / "out", methods=["gradients", "motifs"], label="1", plots=0, progress=False)
    motifs = list(csv.DictReader((tmp_path / "out" / "motifs.tsv").open(), delimiter="\t"))
    assert any(motifs[0]["motif"] in strand or strand in motifs[0]["motif"] for strand in either_strand(PLANTED))
    found = {}
    for row in csv.DictReader((tmp_path / "out" / "gradients.tsv").open(), delimiter="\t"):
        found.setdefault(row["id"], []).append((row["letter"], float(row["attribution"])))
    right = 0
    positive = [name for name in found if int(name[1:]) % 2]
    for name in positive:
        letters, scores = "".join(x for x, _ in found[name]), np.array([y for _, y in found[name]])
        best = int(np.convolve(scores, np.ones(8), "valid").argmax())
        right += any(PLANTED[2:6] in letters[best : best + 8] for PLANTED in either_strand("GATTACCA"))
    assert right / len(positive) > 0.8


def test_matches_with_known_motifs(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("memelite")
    run, fasta, known = trained
    explain(run, fasta, tmp_path / "out", methods=["filters"], known_motifs=known, plots=0, progress=False)
    rows = list(csv.DictReader((tmp_path / "out" / "filters.tsv").open(), delimiter="\t"))
    best = min((row for row in rows if row["p_value"]), key=lambda row: float(row["p_value"]))
    assert best["match"] == PLANTED and float(best["p_value"]) < 1e-3
    with pytest.raises(ValueError, match="holds no motif in MEME format"):
        match_motifs([np.full((5, 4), 0.25)], fasta)


def test_mistakes_are_named(trained: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, fasta, known = trained
    for arguments, message in (
        (["--method", "attention"], "has no attention to show"),
        (["--method", "filters", "--method", "mutations"], "made alone"),
        (["--known-motifs", str(known)], "give --method filters"),
    ):
        with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "sys.argv", ["seqformers", "explain", str(run), str(fasta), "-o", str(tmp_path / "x"), *arguments]
            )
            main()
        assert message in capsys.readouterr().err
    assert meme_text([]).startswith("MEME version 4")
