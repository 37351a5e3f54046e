"""find-phages: rows, scores, side outputs, bad input, resume; and the profile against a plain count."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from seqformers import CodingProfileConfig, KmerTokenizer, find_phages, merge
from seqformers.cli import app
from seqformers.hub.load import packaged_model
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileCounter
from seqformers.phages.contig import CLASSES, COLUMNS, PRESETS, Calibration, ContigScore, window_bounds
from seqformers.phages.detector import PhageDetector
from seqformers.phages.find import expected_fdr, find_phage_files
from seqformers.phages.regions import phage_regions, terminal_repeat

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def _dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def _write(path: Path, contigs: dict[str, str]) -> Path:
    path.write_text("".join(f">{name} text\n{text}\n" for name, text in contigs.items()))
    return path


@pytest.fixture(scope="module")
def contigs() -> dict[str, str]:
    return {"a": _dna(700), "b": _dna(4_700, 1), "c": _dna(2_000, 2), "short": _dna(120, 3)}


def test_rows_are_the_contigs_and_scores_sum_to_one(contigs: dict[str, str]) -> None:
    table = find_phages(contigs, min_length=100)
    assert list(table) == list(COLUMNS) and list(table["id"]) == list(contigs)
    assert table["num_windows"].tolist() == [1, 3, 1, 1]
    total = table[["score_phage", "score_virus", "score_plasmid", "score_host"]].sum(axis=1)
    np.testing.assert_allclose(total, 1, atol=2e-4)
    share = (contigs["b"].count("G") + contigs["b"].count("C")) / 4_700
    assert table["gc"][1] == round(share, 4) and not table["reliable"][3]


def test_a_contig_is_scored_alike_alone_and_among_others(contigs: dict[str, str]) -> None:
    together = find_phages(contigs).set_index("id")
    alone = find_phages({"b": contigs["b"]}).iloc[0]
    assert abs(together.loc["b", "score_phage"] - alone["score_phage"]) < 2e-4


def test_windows_are_the_plain_slices(contigs: dict[str, str]) -> None:
    """The slow version: the tokenizer and the model on each window, one by one."""
    detector, text = PhageDetector(device="cpu"), contigs["b"]
    record = type("Record", (), {"id": "b", "sequence": text})
    found = next(detector.score([record]))
    slices, known = [text[:2000], text[2000:4000], text[2700:]], [2000, 2000, 700]
    tokenizer, logs = KmerTokenizer(k=1), []
    for piece in slices:
        with torch.no_grad():
            logits = detector.model(**tokenizer([piece], return_tensors="pt")).logits[0].double()
        logs.append(logits.log_softmax(-1).numpy()[detector._order])
    expected = detector.calibration.scores(np.array(logs), np.array(known))
    np.testing.assert_allclose(found.windows, expected, atol=1e-4)
    mean = (np.array(logs) * np.array(known)[:, None]).sum(0) / 4_700
    expected = detector.calibration.scores(mean[None], np.array([4_700]))[0]
    np.testing.assert_allclose(found.scores, expected, atol=1e-4)


def test_words_are_counted_on_both_strands() -> None:
    text = _dna(300, 5)
    counter = CodingProfileCounter(CodingProfileConfig(word_length=3))
    ids = KmerTokenizer(k=1)([text, text[::-1].translate(COMPLEMENT)], return_tensors="pt").input_ids
    words = counter._words(*counter._bases(ids, None))
    assert torch.equal(words[0], words[1])
    plain = Counter(min(w, w[::-1].translate(COMPLEMENT)) for w in (text[i : i + 3] for i in range(298)))
    expected = sorted(np.sqrt(count / 300) for count in plain.values())
    np.testing.assert_allclose(sorted(float(v) for v in words[0] if v > 0), expected, rtol=1e-5)


def test_open_frames_are_those_between_stops() -> None:
    """A made-up gene on the reverse strand is read codon by codon, in its own direction."""
    gene = "GCTGAACGT" * 20  # Ala Glu Arg: no stop in this frame
    counter = CodingProfileCounter(CodingProfileConfig(word_length=2, num_gaps=1))
    for text in ("TAA" + gene + "TAA", ("TAA" + gene + "TAA")[::-1].translate(COMPLEMENT)):
        ids = KmerTokenizer(k=1)([text], return_tensors="pt").input_ids
        profile = counter(ids)[0, counter.config.num_words :]
        codons, pairs = profile[:65], profile[65 : 65 + 22 * 22].view(22, 22)
        assert codons.sum() > 0 and torch.isfinite(profile).all()
        assert pairs.square().sum() == pytest.approx(1, abs=0.05)


def test_calibration_sharpens_with_length() -> None:
    calibration = Calibration(scale=1.0, power=0.5)
    mean = np.log(np.array([[0.3, 0.1, 0.1, 0.4, 0.1]] * 2))
    short, long = calibration.scores(mean, np.array([1_000, 16_000]))
    np.testing.assert_allclose(short, np.exp(mean[0]))
    assert long[3] == pytest.approx(0.4**4 / (0.4**4 + 0.3**4 + 3 * 0.1**4))


def test_regions_join_runs_of_high_windows() -> None:
    windows = np.full((8, 5), 0.05)
    windows[:, 3] = [0.1, 0.9, 0.2, 0.9, 0.1, 0.1, 0.1, 0.9]
    contig = ContigScore("x", "", window_bounds(16_000), windows, np.array([0.9, 0, 0, 0.1, 0]), True, 0.5, 0.0)
    found = phage_regions(contig, 0.7)
    assert [(region.start, region.end, region.kind) for region in found] == [(2_000, 8_000, "provirus")]


@pytest.mark.parametrize("length", [25, 300])
def test_repeats_of_the_ends(length: int) -> None:
    end, middle = _dna(length, 7), _dna(1_000, 8)
    assert terminal_repeat(end + middle + end) == ("direct", length)
    kind, found = terminal_repeat(end + middle + end[::-1].translate(COMPLEMENT))
    assert kind == "inverted" and found >= length
    assert terminal_repeat(middle) == ("", 0) and terminal_repeat("A" * 500) == ("", 0)


def test_expected_fdr_is_the_mean_of_what_lacks() -> None:
    values = np.random.default_rng(0).random(50).round(1)
    slow = [np.mean([1 - other for other in values if other >= value]) for value in values]
    np.testing.assert_allclose(expected_fdr(values), slow)


def test_the_command_writes_table_tracks_sequences_and_pictures(contigs: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "contigs.fa.gz"
    source.write_bytes(gzip.compress(_write(tmp_path / "c.fa", contigs).read_bytes()))
    places = [str(tmp_path / name) for name in ("t.tsv", "sites", "by_class", "pictures")]
    arguments = ["find-phages", str(source), "-o", places[0], "--sites", places[1], "--fasta-out", places[2]]
    result = CliRunner().invoke(app, [*arguments, "--plot", places[3], "--preset", "relaxed", "--ends"])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(places[0], sep="\t")
    assert list(table["id"]) == ["a", "b", "c"] and "1 contigs are shorter than 500 nt" in result.output
    scored = [line.split("\t") for line in (tmp_path / "sites" / "phage.bedgraph").read_text().splitlines()[1:]]
    assert [(int(a), int(b)) for name, a, b, _ in scored if name == "b"] == [(0, 2000), (2000, 4000), (4000, 4700)]
    assert (tmp_path / "sites" / "regions.gff3").read_text().startswith("##gff-version 3\n")
    texts = "".join(path.read_text() for path in (tmp_path / "by_class").glob("*.fasta"))
    assert texts.count(">") == 3 and f"class={table['class'][0]}" in texts
    assert set(table["class"]) <= set(CLASSES)


def test_a_resumed_table_is_the_same(contigs: dict[str, str], tmp_path: Path) -> None:
    source, whole = _write(tmp_path / "c.fa", contigs), tmp_path / "whole.tsv"
    find_phage_files(source, whole, progress=False)
    find_phage_files(source, tmp_path / "again.tsv", progress=False)
    lines = whole.read_text().splitlines(keepends=True)
    (tmp_path / "again.tsv").unlink()
    settings = json.loads((tmp_path / ".again.tsv.seqformers.json").read_text())
    (tmp_path / "again.tsv.partial").write_text("".join(lines[:2]) + lines[2][:7])
    (tmp_path / "again.tsv.partial.json").write_text(json.dumps(settings))
    report = find_phage_files(source, tmp_path / "again.tsv", resume=True, progress=False)
    assert report.resumed == 1 and (tmp_path / "again.tsv").read_text() == whole.read_text()


def test_only_unknown_letters_give_a_row_without_scores(tmp_path: Path) -> None:
    source = _write(tmp_path / "n.fa", {"n": "N" * 900, "x": _dna(600)})
    report = find_phage_files(source, tmp_path / "t.jsonl", progress=False)
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert rows[0]["class"] is None and rows[0]["num_windows"] == 0 and rows[0]["n_fraction"] == 1
    assert rows[1]["class"] and any("fewer than 100 known letters" in line for line in report.remarks.lines())


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), (">p\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n", "protein|letter|DNA|dna")]
)
def test_bad_input_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.fa").write_text(text)
    with pytest.raises(ValueError, match=message):
        find_phage_files(tmp_path / "bad.fa", tmp_path / "t.tsv", progress=False)
    assert not (tmp_path / "t.tsv").exists()


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"output": "x/t.tsv", "sites": "x"}, "--output .* lies in --sites"),
        ({"output": "t.tsv", "sites": "x", "plot": "x"}, "lies at"),
        ({"output": "t.tsv", "sites": "x", "fasta_out": "x/y"}, "--fasta-out .* lies in --sites"),
    ],
)
def test_outputs_have_places_of_their_own(places: dict[str, str], message: str, tmp_path: Path) -> None:
    """Said before anything is scored: one would be replaced with the other."""
    source = _write(tmp_path / "c.fa", {"a": _dna(700)})
    with pytest.raises(ValueError, match=message):
        find_phage_files(source, **{name: tmp_path / path for name, path in places.items()}, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.fa"]


def test_a_picture_of_200_letters_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _write(tmp_path / "c.fa", {"a": _dna(200)})
    options = {"min_length": 100, "overwrite": True, "progress": False}
    for least, drawn in ((0.0, 1), (1.1, 0)):
        monkeypatch.setitem(PRESETS, "relaxed", (0.0, least))
        report = find_phage_files(source, tmp_path / "t.tsv", preset="relaxed", plot=tmp_path / "p", **options)
        assert report.pictures == drawn == len(list((tmp_path / "p").glob("*.png")))


def test_the_packaged_calibration_is_whole() -> None:
    found = Calibration.read(packaged_model("coding_profile"))
    assert found.scale > 0 and len(found.bias) == len(CLASSES) and all(np.isfinite(found.distances))
    assert list(found.fdr_confidences) == sorted(found.fdr_confidences) and len(found.fdr) == len(CLASSES)
    assert all(list(curve) == sorted(curve, reverse=True) for curve in found.fdr)


def test_random_dna_is_not_reliable() -> None:
    """Letters at random, permuted genes, and a plain repeat get a class, and a flag that says what it is worth."""
    gene = "".join(np.random.default_rng(0).choice(["GCT", "AAA", "GGT", "GAA", "ACC", "CTG", "GAC", "ATC"], 3_000))
    shuffled = "".join(np.random.default_rng(1).permutation(list(gene)))
    found = find_phages({"random": _dna(9_000), "shuffled": shuffled, "repeat": "ATGC" * 2_000})
    assert found["class"].notna().all() and not found["reliable"].any()


def test_fdr_is_read_off_the_curve_of_the_class() -> None:
    calibration = Calibration(fdr_confidences=(0.2, 0.6, 1.0), fdr=((0.5,) * 3,) * 3 + ((0.4, 0.2, 0.0), (0.5,) * 3))
    assert calibration.expected_false(3, 0.7) == pytest.approx(0.15)
    assert calibration.expected_false(3, 0.1) == 0.4 and calibration.expected_false(0, 0.9) == 0.5
    assert Calibration().expected_false(3, 0.7) is None


def test_the_packaged_tokenizer_reads_a_window_whole() -> None:
    """As long as the reads of training: truncation cuts no window, and `predict` takes windows of that length."""
    folder = packaged_model("coding_profile")
    window = CodingProfileConfig.from_pretrained(folder).read_length
    ids = KmerTokenizer.from_pretrained(folder)("A" * 3_000, truncation=True).input_ids
    assert len(ids) == window + 2 == 2_002


def test_a_model_without_calibration_answers_without_fdr(contigs: dict[str, str], tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((packaged_model("coding_profile") / name).read_bytes())
    found = find_phages(contigs, tmp_path)
    assert found["fdr"].isna().all() and found["confidence"].notna().all() and found["reliable"].all()


def test_a_long_contig_takes_its_letters_and_no_more(tmp_path: Path) -> None:
    """What is held beside the letters does not grow with the contig: its batches of windows are as large as ever."""
    detector = PhageDetector(device="cpu")
    peaks = []
    for length in (1_000_000, 4_000_000):
        letters = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(0, 4, length)]
        record = type("Record", (), {"id": "c", "sequence": letters.tobytes().decode()})
        tracemalloc.start()
        next(detector.score([record]))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1_000_000  # 3 Mb more of contig, and 1,500 windows of a few numbers each


@pytest.mark.parametrize("source", ["wrapped", "one line", "gz", "-"])
def test_contigs_on_disk_give_what_contigs_in_memory_give(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table, tracks, contigs by class and names of pictures, whatever lies on disk."""
    end = _dna(60, 9)
    texts = {"a": _dna(5_300), "b": end + _dna(9_001, 1) + end, "c": "N" * 2_500, "d": _dna(600, 3)}
    width = 71 if source == "wrapped" else 100_000
    lines = [f">{n}\n" + "".join(f"{t[i : i + width]}\n" for i in range(0, len(t), width)) for n, t in texts.items()]
    data = "".join(lines).encode()
    (tmp_path / "c.fa").write_bytes(gzip.compress(data) if source == "gz" else data)
    monkeypatch.setattr("seqformers.datasets_scripts.common.streams._LONG_LINE", 500)
    monkeypatch.setattr("seqformers.datasets_scripts.common.streams._BLOCK", 777)
    written = []
    for held in (1_000, 1 << 23):
        monkeypatch.setattr("seqformers.phages.find._HELD", held)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        folder = tmp_path / str(held)
        folder.mkdir()
        find_phage_files(
            "-" if source == "-" else tmp_path / "c.fa", folder / "t.tsv", preset="relaxed", ends=True, progress=False,
            sites=folder / "sites", fasta_out=folder / "by_class", plot=folder / "pictures",
        )  # fmt: skip
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        written.append({str(p.relative_to(folder)): p.suffix == ".png" or p.read_bytes() for p in files})
    assert written[0] == written[1] and "direct:60" in written[0]["t.tsv"].decode()
    assert len(written[0]) > 5 and b"".join(v for k, v in written[0].items() if "by_class" in k).count(b">") == 4


def test_memory_does_not_grow_with_a_contig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqformers.phages.find._HELD", 1_000_000)
    peaks = []
    for megabases in (2, 5):
        (tmp_path / "c.fa").write_text(">c\n" + _dna(500_000) * 2 * megabases + "\n")
        tracemalloc.start()
        # The middle of the only contig is the start of the second half, so that shard has it.
        find_phage_files(tmp_path / "c.fa", tmp_path / "t.tsv", shard="2/2", overwrite=True, ends=True, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(pd.read_csv(tmp_path / "t.tsv", sep="\t")) == 1
    assert abs(peaks[1] - peaks[0]) < 1_000_000  # 1,500 windows more of a few numbers each


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_file_gives_the_table_of_the_plain_one(
    contigs: dict[str, str], tmp_path: Path, suffix: str
) -> None:
    plain = _write(tmp_path / "c.fa", contigs)
    find_phage_files(plain, tmp_path / "plain.tsv", progress=False)
    pack = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: pa.compress(data, "zstd"),
    }
    packed = tmp_path / f"c.fa.{suffix}"
    data = pack[suffix](plain.read_bytes())
    packed.write_bytes(data if isinstance(data, bytes) else data.to_pybytes())
    find_phage_files(packed, tmp_path / "packed.tsv", progress=False)
    assert (tmp_path / "packed.tsv").read_bytes() == (tmp_path / "plain.tsv").read_bytes()


def test_shards_joined_are_the_single_table(contigs: dict[str, str], tmp_path: Path) -> None:
    source = _write(tmp_path / "c.fa", contigs)
    find_phage_files(source, tmp_path / "whole.tsv", progress=False)
    parts = [tmp_path / f"part-{number}.tsv" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        find_phage_files(source, part, shard=f"{number}/2", progress=False)
    merge(parts, tmp_path / "joined.tsv")
    assert (tmp_path / "joined.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_contigs_below_the_shortest_window(contigs: dict[str, str], tmp_path: Path) -> None:
    """Left out by count, or scored with a flag."""
    source = _write(tmp_path / "c.fa", contigs)
    report = find_phage_files(source, tmp_path / "left_out.tsv", progress=False)
    assert report.remarks.lines() == ["1 contigs are shorter than 500 nt (--min-length) and were left out: 'short'"]
    find_phage_files(source, tmp_path / "all.tsv", min_length=100, progress=False)
    row = pd.read_csv(tmp_path / "all.tsv", sep="\t").set_index("id").loc["short"]
    assert row["class"] and not row["reliable"]


def test_contigs_of_one_name_keep_their_rows(tmp_path: Path) -> None:
    (tmp_path / "c.fa").write_text(f">same\n{_dna(700)}\n>same\n{_dna(900, 1)}\n")
    report = find_phage_files(tmp_path / "c.fa", tmp_path / "t.tsv", progress=False)
    assert pd.read_csv(tmp_path / "t.tsv", sep="\t")["length"].tolist() == [700, 900]
    assert any("ids came more than once" in line for line in report.remarks.lines())


def test_genomes_of_known_kinds_come_out_as_what_they_are(real_data: Path) -> None:
    """Not a measure, since the packaged weights have seen them: that the command answers at all as it should."""
    for name, label in (("phages", "phage"), ("bacteria_archaea", "bacterium")):
        rows = pd.read_parquet(real_data / "genomes" / f"{name}.parquet", columns=["class", "sequence"])
        rows = rows[rows["class"] == label].head(8)
        table = find_phages({str(i): text[:20_000] for i, text in enumerate(rows["sequence"])})
        assert (table["class"] == label).mean() >= 0.75
