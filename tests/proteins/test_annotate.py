"""`annotate-proteins`: columns, pieces, batches, bad input by its message, resume, pictures, segments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from seqformers import ProteinCnnConfig, ProteinCnnForAnnotation, merge
from seqformers.cli import app
from seqformers.proteins import annotator as room
from seqformers.proteins.annotate import COLUMNS, annotate_proteins, annotation_table
from seqformers.proteins.annotator import ProteinAnnotator

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
OMPA = "MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAGAFGGYQVNPYVGFEMGYDWLGRMPYKGSVENGAYKAQ"
BACTERIORHODOPSIN = (
    "QAQITGRPEWIWLALGTALMGLGTLYFLVKGMGVSDPDAKKFYAITTLVPAIAFTMYLSMLLGYGLTMVPFGGEQNPIYWARYADWLFTTPLLLLDLALLVDAD"
    "QGTILALVGADGIMIGTGLVGALTKVYSYRFVWWAISTAAMLYILYVLFFGFTSKAESMRPEVASTFKVLRNVTVVLWSAYPVVWLIGSEGAGIVPLNIETLLF"
    "MVLDVSAKVGFGLILLRSRAIFGEAEAPEPSAGDGAAATS"
)


def protein(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(RESIDUES), length))


@pytest.fixture(scope="module")
def small() -> ProteinAnnotator:
    torch.manual_seed(0)
    config = ProteinCnnConfig(
        hidden_size=16, bottleneck_size=8, num_hidden_layers=3, dilations=[1, 2, 4], topology_dilations=[8],
        structure_encoder=True,
    )  # fmt: skip
    model = ProteinCnnForAnnotation(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return ProteinAnnotator(model)


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">p{i}\n{protein(n, i)}\n" for i, n in enumerate((30, 1, 250, 80, 400, 12))))
    return path


def test_long_proteins_in_pieces_get_the_answer_of_the_whole(small, monkeypatch):
    sequence = protein(700, 3)
    (whole,) = small.annotate([sequence])
    monkeypatch.setattr(room, "_PIECE", 97)
    (pieces,) = small.annotate([sequence])
    np.testing.assert_allclose(pieces.topology_probabilities, whole.topology_probabilities, atol=1e-12)
    np.testing.assert_allclose(pieces.structure_probabilities, whole.structure_probabilities, atol=1e-12)
    assert pieces.signal_probability == pytest.approx(whole.signal_probability, abs=1e-12)
    assert (pieces.topology, pieces.structure) == (whole.topology, whole.structure)


def test_an_answer_is_the_models_and_does_not_hang_on_the_batch(small, monkeypatch):
    sequences = [protein(n, n) for n in (5, 300, 40, 41, 1)]
    together = small.annotate(sequences)
    monkeypatch.setattr(room, "_TOKENS", 1)
    for sequence, answer, alone in zip(sequences, together, small.annotate(sequences), strict=True):
        np.testing.assert_allclose(answer.topology_probabilities, alone.topology_probabilities, atol=1e-12)
        assert answer.structure == alone.structure and len(answer.topology) == len(sequence)
        ids = torch.tensor([small._tokens(sequence).tolist()])
        with torch.no_grad():
            output = small.loaded.exact(ids)
        np.testing.assert_allclose(
            output.structure_logits.softmax(-1)[0, 1:-1].numpy(), answer.structure_probabilities, atol=1e-12
        )


def test_table_has_the_columns_and_a_row_a_record(small, fasta, tmp_path):
    annotate_proteins(fasta, tmp_path / "t.tsv", model=small)
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    assert list(table.columns) == list(COLUMNS)
    assert table["id"].tolist() == [f"p{i}" for i in range(6)]
    assert (table["topology"].str.len() == table["length"]).all() and (table["ss3"].str.len() == table["length"]).all()
    assert set("".join(table["topology"])) <= set("ioMS") and set("".join(table["ss3"])) <= set("HEC")
    signal = table["topology"].str.startswith("S")
    assert (signal == (table["signal_peptide_probability"] >= 0.5)).all()
    ends = table["topology"].str.count("S")[signal]
    assert (table["signal_peptide_end"][signal] == ends).all() and table["signal_peptide_end"][~signal].isna().all()
    assert table["ss3_confidence"].between(1 / 3, 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nACGTACGTACGTACGTACGTACGT\n", "record 'a' holds only A, C, G, T, U and N: this is DNA or RNA"),
        (">a\nMKL*VV\n", r"record 'a': '\*' at residue 4 is a stop"),
        (">a\nMKL-VV\n", "record 'a': '-' at residue 4 is no residue"),
    ],
)
def test_bad_records_are_named_or_skipped(small, tmp_path, text, message):
    path = tmp_path / "bad.fasta"
    path.write_text(f">good\nMKVLAAGIVGLLLA\n{text}")
    with pytest.raises(ValueError, match=message):
        annotate_proteins(path, tmp_path / "t.tsv", model=small)
    assert not (tmp_path / "t.tsv").exists()
    remarks = annotate_proteins(path, tmp_path / "t.tsv", model=small, on_error="skip")
    assert pd.read_csv(tmp_path / "t.tsv", sep="\t")["id"].tolist() == ["good"]
    assert any(line.startswith("1 records left out") for line in remarks.lines())


def test_odd_records_get_a_row_and_a_remark(small, tmp_path):
    path = tmp_path / "odd.fasta"
    path.write_text(">empty\n>x\nXXXX\n>rare\nMKUOBZJ\n>lower;a\nmkvlaag*\n>x\nMKV\n>\nMKL\n")
    remarks = "\n".join(annotate_proteins(path, tmp_path / "t.jsonl", model=small, gff=tmp_path / "t.gff3").lines())
    table = pd.read_json(tmp_path / "t.jsonl", lines=True)
    assert table["length"].tolist() == [0, 4, 7, 7, 3, 3] and pd.isna(table["topology"][0])
    listed = [line for line in (tmp_path / "t.gff3").read_text().splitlines() if line.startswith("##seq")]
    regions = ("x 1 4", "rare 1 7", "lower%3Ba 1 7", "x 1 3", ". 1 3")
    assert listed == [f"##sequence-region {region}" for region in regions]
    for said in (
        "have no letters",
        "hold only X",
        "were read as D, L, K, C, E",
        "end in '*'",
        "1 ids came more than once",
    ):
        assert said in remarks
    same = annotation_table([("rare", "MKCKDEL"), ("lower", "MKVLAAG")], model=small)
    assert same["ss3"].tolist() == table["ss3"].tolist()[2:4]


def test_an_interrupted_table_goes_on(small, fasta, tmp_path, monkeypatch):
    from seqformers.proteins import annotate as room_annotate

    annotate_proteins(fasta, tmp_path / "whole.tsv", model=small)
    monkeypatch.setattr(room_annotate, "_RESIDUES", 100)
    real, calls = ProteinAnnotator.annotate, []

    def failing(self, sequences):
        calls.append(len(sequences))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, sequences)

    monkeypatch.setattr(ProteinAnnotator, "annotate", failing)
    with pytest.raises(KeyboardInterrupt):
        annotate_proteins(fasta, tmp_path / "t.tsv", model=small)
    monkeypatch.setattr(ProteinAnnotator, "annotate", real)
    annotate_proteins(fasta, tmp_path / "t.tsv", model=small, resume=True)
    assert (tmp_path / "t.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_shards_merge_to_the_single_run(small, fasta, tmp_path):
    annotate_proteins(fasta, tmp_path / "whole.tsv", model=small)
    parts = [tmp_path / f"part-{i}.tsv" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        annotate_proteins(fasta, part, model=small, shard=f"{i}/2")
    merge(parts, tmp_path / "merged.tsv")
    assert (tmp_path / "merged.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    with pytest.raises(ValueError, match="of a whole table"):
        annotate_proteins(fasta, tmp_path / "x.tsv", model=small, shard="1/2", plot=True)


class TestPackaged:
    """The model in the package, by the command."""

    @pytest.fixture(scope="class")
    def table(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("packaged")
        (folder / "p.fasta").write_text(f">OmpA\n{OMPA}\n>bop|$x\n{BACTERIORHODOPSIN}\n")
        words = ["annotate-proteins", str(folder / "p.fasta"), "-o", str(folder / "t.tsv"), "--plot"]
        result = CliRunner().invoke(app, [*words, "--gff", str(folder / "t.gff3")])
        assert result.exit_code == 0, result.output
        return folder

    def test_it_finds_a_signal_peptide_and_seven_helices(self, table):
        rows = pd.read_csv(table / "t.tsv", sep="\t").set_index("id")
        assert rows["signal_peptide_probability"]["OmpA"] > 0.5 > rows["signal_peptide_probability"]["bop|$x"]
        assert abs(rows["signal_peptide_end"]["OmpA"] - 21) <= 4
        assert rows["num_membrane"]["OmpA"] <= 1 and 5 <= rows["num_membrane"]["bop|$x"] <= 8

    def test_it_draws_and_lists_segments(self, table):
        pictures = sorted(path.name for path in (table / "t-plots").glob("*.png"))
        assert len(pictures) == 2 and pictures[0] == "01-OmpA.png"
        lines = [line.split("\t") for line in (table / "t.gff3").read_text().splitlines() if line[0] != "#"]
        assert all(len(line) == 9 and int(line[3]) <= int(line[4]) for line in lines)
        helices = [line for line in lines if line[2] == "transmembrane_helix" and line[0].startswith("bop")]
        rows = pd.read_csv(table / "t.tsv", sep="\t").set_index("id")
        assert len(helices) == rows["num_membrane"]["bop|$x"]
