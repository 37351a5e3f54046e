"""Shards and their merge: the bytes of the single run, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import seqformers
from seqformers import TargetNetConfig, TargetNetModel
from seqformers.cli import app
from seqformers.files import record_of_output
from seqformers.guides.score import score_guides
from seqformers.inference.embed import embed
from seqformers.inference.predict import predict
from seqformers.shards import Shard
from seqformers.tables import TableWriter
from seqformers.targets.scan import scan_target_files
from tests.inference.runs import dna, dna_run

LENGTHS = [300, 60, 2, 61, 5, 1000, 59, 120, 700, 64]


class Record:
    def __init__(self, sequence):
        self.sequence = sequence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dna_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fasta"
    path.write_text("".join(f'>r{i}"x\n{dna(n, i)}\n' for i, n in enumerate(LENGTHS)))
    return path


@pytest.fixture
def scan(tmp_path):
    torch.manual_seed(0)
    model = TargetNetModel(TargetNetConfig()).eval()
    (tmp_path / "mirna.fa").write_text("".join(f">m{i}\n{dna(22, 50 + i)}\n" for i in range(3)))
    (tmp_path / "mrna.fa").write_text("".join(f">u{i}\n{dna(n, i)}\n" for i, n in enumerate((300, 45, 900, 20))))
    return lambda output, **options: scan_target_files(
        tmp_path / "mirna.fa", tmp_path / "mrna.fa", output, model=model, progress=False, **options
    )


def whole_and_merged(job, folder, suffix, count):
    """The single run's output and the merged one, the shards named in a random order."""
    job(folder / f"whole{suffix}")
    parts = [folder / f"part-{i}{suffix}" for i in range(1, count + 1)]
    for i, part in enumerate(parts, 1):
        job(part, shard=f"{i}/{count}")
    shuffled = [parts[i] for i in np.random.default_rng(count).permutation(count)]
    seqformers.merge(shuffled, folder / f"merged{suffix}")
    return folder / f"whole{suffix}", folder / f"merged{suffix}"


def assert_same(whole, merged):
    assert merged.read_bytes() == whole.read_bytes()
    assert record_of_output(merged).read_bytes() == record_of_output(whole).read_bytes()


@pytest.mark.parametrize(("suffix", "count"), [(".tsv", 2), (".csv", 2), (".jsonl", 2), (".parquet", 3), (".tsv", 12)])
def test_predict(run, fasta, tmp_path, suffix, count):
    job = partial(predict, run, fasta, window=60, progress=False)
    assert_same(*whole_and_merged(job, tmp_path, suffix, count))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_embed(run, fasta, tmp_path, suffix):
    whole, merged = whole_and_merged(partial(embed, run, fasta, progress=False), tmp_path, suffix, 3)
    assert_same(whole, merged)
    embed(run, fasta, merged, resume=True, progress=False)  # a finished output of the same job


@pytest.mark.parametrize("options", [{}, {"sites": True}, {"min_score": 0.5}])
def test_scan_targets(scan, tmp_path, options):
    assert_same(*whole_and_merged(partial(scan, **options), tmp_path, ".tsv", 5))


def test_scan_targets_of_listed_pairs(scan, tmp_path):
    pairs = [("m1", "u0"), ("m9", "u0"), ("m0", "u2"), ("m1", "u3"), ("m2", "u0")]
    pd.DataFrame(pairs, columns=["mirna_id", "mrna_id"]).to_csv(tmp_path / "pairs.csv", index=False)
    job = partial(scan, pairs=tmp_path / "pairs.csv", on_error="skip")
    assert_same(*whole_and_merged(job, tmp_path, ".csv", 2))


@pytest.mark.parametrize("order", ["rank", "position"])
def test_score_guides(fasta, tmp_path, order):
    job = partial(score_guides, fasta, order=order)
    whole, merged = whole_and_merged(job, tmp_path, ".parquet", 3)
    assert len(pd.read_parquet(whole)) > 20
    assert_same(whole, merged)


def test_score_guides_of_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr("seqformers.guides.score._TARGETS", 4)
    rows = [{"id": f"g{i}", "target": dna(4, i) + "TTTA" + dna(26, 99 + i), "a,b": i} for i in range(11)]
    rows[3]["target"] = "ACGT"
    pd.DataFrame(rows).to_csv(tmp_path / "targets.csv", index=False)
    job = partial(score_guides, tmp_path / "targets.csv", model="fast", on_error="skip")
    assert_same(*whole_and_merged(job, tmp_path, ".csv", 3))
    assert_same(*whole_and_merged(partial(job, overwrite=True), tmp_path, ".tsv", 20))


@pytest.mark.parametrize("rows", [0, 1, 120_000])
def test_a_merged_parquet_table_has_the_row_groups_of_a_single_one(tmp_path, rows):
    schema = {"id": str, "vector": list, "score": float}

    def job(path, shard=None):
        part = Shard.parse(shard)
        begin, end = part.span(rows)
        with TableWriter(path, schema, settings={"a": 1, **part.settings}) as table:
            table.write({"id": str(i), "vector": [i / 7], "score": None} for i in range(begin, end))

    assert_same(*whole_and_merged(job, tmp_path, ".parquet", 3))


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 9))
def test_every_record_is_in_one_shard_and_none_has_much_more_than_its_share(tmp_path_factory, lengths, count):
    path = tmp_path_factory.mktemp("shards") / "in.fasta"
    path.write_text("".join(f">r{i}\n{'A' * n}\n" for i, n in enumerate(lengths)))
    records = [Record("A" * n) for n in lengths]
    shares = [list(Shard(i, count).of_records(records, path)) for i in range(1, count + 1)]
    assert [record for share in shares for record in share] == records
    most = sum(lengths) / count + max(lengths, default=0)
    assert all(sum(len(record.sequence) for record in share) <= most for share in shares)


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "3", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard(run, fasta, tmp_path, text):
    with pytest.raises(ValueError, match=r"expected i/n"):
        predict(run, fasta, tmp_path / "p.tsv", shard=text, progress=False)


def test_pipes_and_pictures_of_a_part_are_refused(run, scan, fasta, tmp_path):
    with pytest.raises(ValueError, match="pipe"):
        predict(run, "-", tmp_path / "p.tsv", shard="1/2", progress=False)
    with pytest.raises(ValueError, match="merge the shards"):
        scan(tmp_path / "s.tsv", shard="1/2", plot=tmp_path / "plots")
    with pytest.raises(ValueError, match="merge the shards"):
        score_guides(fasta, tmp_path / "g.tsv", shard="1/2", track=tmp_path / "t.png")
    with pytest.raises(ValueError, match="--output"):
        score_guides(fasta, shard="1/2")


def test_a_merged_table_is_drawn_by_the_single_command(fasta, tmp_path):
    _, merged = whole_and_merged(partial(score_guides, fasta), tmp_path, ".tsv", 2)
    before = merged.read_bytes()
    score_guides(fasta, merged, resume=True, track=tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size and merged.read_bytes() == before


@pytest.fixture
def parts(run, fasta, tmp_path):
    made = [tmp_path / f"p{i}.tsv" for i in (1, 2, 3)]
    for i, path in enumerate(made, 1):
        predict(run, fasta, path, shard=f"{i}/3", progress=False)
    return made


def another_window(run, fasta, parts):
    predict(run, fasta, parts[1], shard="2/3", window=50, overwrite=True, progress=False)


def another_input(run, fasta, parts):
    fasta.write_text(">a\nACGTACGT\n")
    predict(run, fasta, parts[1], shard="2/3", overwrite=True, progress=False)


def another_model(run, fasta, parts):
    other = dna_run(fasta.parent / "other", seed=1)
    predict(other, fasta, parts[1], shard="2/3", overwrite=True, progress=False)


def another_count(run, fasta, parts):
    predict(run, fasta, parts[1], shard="2/4", overwrite=True, progress=False)


def another_job(run, fasta, parts):
    embed(run, fasta, parts[1].with_suffix(".jsonl"), shard="2/3", progress=False)
    parts[1] = parts[1].with_suffix(".jsonl")


def missing(run, fasta, parts):
    del parts[1]


def twice(run, fasta, parts):
    parts.append(shutil.copy(parts[1], parts[1].with_name("copy.tsv")))
    shutil.copy(record_of_output(parts[1]), record_of_output(parts[-1]))


def not_there(run, fasta, parts):
    parts[1].unlink()


def not_finished(run, fasta, parts):
    parts[1].rename(parts[1].with_name(parts[1].name + ".partial"))


def without_record(run, fasta, parts):
    record_of_output(parts[1]).unlink()


def torn_record(run, fasta, parts):
    record_of_output(parts[1]).write_text(record_of_output(parts[1]).read_text()[:20])


def no_shard(run, fasta, parts):
    predict(run, fasta, parts[1], overwrite=True, progress=False)


def cut(run, fasta, parts):
    parts[1].write_bytes(parts[1].read_bytes()[:-3])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (another_window, r"p1\.tsv and .*p2\.tsv are not of the same call: window is None in the first and 50"),
        (another_input, r"p2\.tsv are not of the same call: input is"),
        (another_model, r"p2\.tsv are not of the same call: model is"),
        (another_count, r"the number of shards is 3 in the first and 4 in the other"),
        (another_job, r"the job is 'predict' in the first and 'embed' in the other"),
        (missing, r"shard 2/3 is missing"),
        (twice, r"p2\.tsv and .*copy\.tsv are both shard 2/3"),
        (not_there, r"no such shard: .*p2\.tsv"),
        (not_finished, r"p2\.tsv is not finished; run its job again with --resume"),
        (without_record, r"p2\.tsv: what it was written with is not known \(.*\.p2\.tsv\.seqformers\.json is missing"),
        (torn_record, r"p2\.tsv: what it was written with is not known"),
        (no_shard, r"p2\.tsv is no shard"),
        (cut, r"p2\.tsv has [0-9]+ bytes, but was written with"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(run, fasta, tmp_path, parts, mistake, message):
    mistake(run, fasta, parts)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        seqformers.merge(parts, tmp_path / "merged.tsv")
    assert not (tmp_path / "merged.tsv").exists()


def test_merge_keeps_what_is_there(parts, tmp_path):
    (tmp_path / "merged.tsv").write_text("yesterday")
    with pytest.raises(FileExistsError, match="--overwrite"):
        seqformers.merge(parts, tmp_path / "merged.tsv")
    with pytest.raises(ValueError, match="is the input"):
        seqformers.merge(parts, parts[0], overwrite=True)
    with pytest.raises(ValueError, match=r"\.tsv tables"):
        seqformers.merge(parts, tmp_path / "merged.csv")
    assert (tmp_path / "merged.tsv").read_text() == "yesterday"
    seqformers.merge(parts, tmp_path / "merged.tsv", overwrite=True)
    assert seqformers.merge(parts, tmp_path / "merged.tsv", resume=True).read_text().startswith("id\t")


def test_shards_resume_and_the_command_says_what_it_wrote(run, fasta, tmp_path):
    words = ["predict", str(run), str(fasta), "--shard", "1/2", "-o", str(tmp_path / "a.tsv")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    assert json.loads(record_of_output(tmp_path / "a.tsv").read_text())["settings"]["shard"] == "1/2"
    words[4], words[6] = "2/2", str(tmp_path / "b.tsv")
    assert CliRunner().invoke(app, words).exit_code == 0
    done = CliRunner().invoke(app, ["merge", str(tmp_path / "a.tsv"), words[6], "-o", str(tmp_path / "m.tsv")])
    assert "of 2 shards" in done.stderr


@pytest.fixture
def genomes(tmp_path):
    rows = [{"sequence": dna(1500, i), "label": i % 2, "group": f"g{i}"} for i in range(20)]
    pd.DataFrame(rows).to_parquet(tmp_path / "genomes.parquet")
    return tmp_path / "genomes.parquet"


def assert_same_folder(whole, merged):
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(merged) for path in merged.rglob("*") if path.is_file())
    for file in files:
        assert (merged / file).read_bytes() == (whole / file).read_bytes(), file


def build(genomes, output, **options):
    return seqformers.build_dataset(
        "phage", "reads-150", output=output, data_dir=genomes, reads_per_genome=5, report_kmers=(), **options
    )


def test_genomes_in_shards(genomes, tmp_path, monkeypatch):
    monkeypatch.setattr("seqformers.datasets_scripts.genomes.genomes._ROWS_PER_TABLE", 5)

    def job(output, **options):
        return seqformers.build_dataset("genomes", output=output, data_dir=genomes, **options)

    whole, parts = job(tmp_path / "whole"), [job(tmp_path / f"part-{i}", shard=f"{i}/2") for i in (1, 2)]
    assert_same_folder(whole, seqformers.merge(parts, tmp_path / "merged"))


def test_a_data_set_in_shards(genomes, tmp_path, monkeypatch):
    monkeypatch.setattr("seqformers.datasets_scripts.phage.phage._ROWS_PER_TABLE", 7)
    whole = build(genomes, tmp_path / "whole")
    parts = [build(genomes, tmp_path / f"part-{i}", shard=f"{i}/3") for i in (2, 1, 3)]
    made = [len(list(part.rglob("*.arrow"))) for part in parts]
    assert all(made) and sum(made) > 10
    merged = seqformers.merge(parts, tmp_path / "merged")
    assert_same_folder(whole, merged)
    build(genomes, merged, resume=True)
    with pytest.raises(ValueError, match="shard 1/3 is missing"):
        seqformers.merge([parts[0], parts[2]], tmp_path / "other")
    genomes.touch()
    with pytest.raises(ValueError, match="is not what it was"):
        seqformers.merge(parts, tmp_path / "other")
