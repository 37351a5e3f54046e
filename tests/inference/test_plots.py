"""Pictures of answers: scores along records, vectors as a map, what was built; and where they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.colors import to_hex
from typer.testing import CliRunner

from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.cli import app
from seqformers.dataset_pictures import draw_build
from seqformers.datasets import build_dataset
from seqformers.hub.repository import write_model_repository
from seqformers.inference.plots import draw_map, plot_map
from seqformers.pictures import COLOURS

CARD = "---\nlicense: apache-2.0\n---\n# Tiny\n"


def dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=64, id2label={0: "fern", 1: "moss", 2: "alga"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("run") / "run"
    write_model_repository(folder, KmerBertForSequenceClassification(config), tokenizer=KmerTokenizer(k=3), card=CARD)
    return folder


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fasta") / "c.fa"
    path.write_text("".join(f">$c_{i}^\n{dna(100 + 60 * i, i)}\n" for i in range(5)) + f">n\n{'N' * 80}\n")
    return path


def test_predict_and_embed_draw_beside_their_tables(run: Path, fasta: Path, tmp_path: Path):
    def call(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        return done.output

    table, vectors, along, chart = (str(tmp_path / name) for name in ("t.tsv", "v.parquet", "along.svg", "map.png"))
    assert along in call("predict", str(run), str(fasta), "-o", table, "--plot", along)
    text = Path(along).read_text()
    assert text.startswith("<?xml") and "moss" in text and "$c_4^" in text  # names are text, no formulas
    call("embed", str(run), str(fasta), "-o", vectors, "--plot", chart, "--table", table, "--colour-by", "label")
    assert Path(chart).read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(app, ["predict", str(run), str(fasta), "-o", str(tmp_path / "u.tsv"), "--plot", along])
    assert isinstance(again.exception, FileExistsError) and not (tmp_path / "u.tsv").exists()


@pytest.mark.parametrize(
    ("values", "colours"),
    [
        (None, {COLOURS[0]}),
        (["a"] * 30 + ["b"] * 20 + [None] * 10, {COLOURS[0], COLOURS[1], "#bfbfbf"}),
        ([str(i // 6) for i in range(60)], {*COLOURS, "#bfbfbf"}),  # ten kinds: seven have a colour
    ],
)
def test_a_map_shows_the_directions_of_most_variance(values, colours):
    points = np.random.default_rng(0).normal(size=(60, 5)) * [1, 20, 1, 5, 1]
    axes = draw_map(points, values, "kind").axes[0]
    places = np.concatenate([c.get_offsets() for c in axes.collections if len(c.get_offsets())])
    expected = points[:, [1, 3]] - points[:, [1, 3]].mean(0)
    assert len(places) == 60
    np.testing.assert_allclose(sorted(np.abs(places[:, 0])), sorted(np.abs(expected[:, 0])), atol=2)
    assert {to_hex(c.get_facecolors()[0]).upper() for c in axes.collections if len(c.get_offsets())} == {
        colour.upper() for colour in colours
    }


def test_a_map_of_numbers_has_a_scale():
    figure = draw_map(np.random.default_rng(0).normal(size=(9, 4)), [0.5, None, *range(7)], "score")
    assert len(figure.axes) == 2 and figure.axes[1].get_ylabel() == "score"


def test_maps_are_refused_with_a_reason(tmp_path: Path):
    pq.write_table(pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], None]}), tmp_path / "v.parquet")
    (tmp_path / "t.tsv").write_text("id\tlabel\na\tx\n")
    with pytest.raises(ValueError, match="three vectors or more, there are 1"):
        plot_map(tmp_path / "v.parquet", tmp_path / "m.png")
    with pytest.raises(ValueError, match="no column 'kind'; found: id, label"):
        plot_map(tmp_path / "v.parquet", tmp_path / "m.png", table=tmp_path / "t.tsv", colour_by="kind")
    with pytest.raises(ValueError, match="go together"):
        plot_map(tmp_path / "v.parquet", tmp_path / "m.png", colour_by="kind")
    with pytest.raises(ValueError, match=r"ends in \.png"):
        plot_map(tmp_path / "v.parquet", tmp_path / "m.doc")
    assert not (tmp_path / "m.png").exists()


def test_what_was_built_is_drawn(tmp_path: Path):
    for name, share in (("fern", "ACGGCC"), ("moss", "ACGTAT")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(4):
            letters = "".join(np.random.default_rng(i).choice(list(share), 2_000 + 500 * i))
            (tmp_path / "in" / name / f"{name}{i}.fa").write_text(f">c\n{letters}\n")
    words = ["build", "genomes", str(tmp_path / "in"), "-o", str(tmp_path / "arrays"), "groups=none"]
    done = CliRunner().invoke(app, [*words, "--plot", str(tmp_path / "built.png")])
    assert done.exit_code == 0 and (tmp_path / "built.png").stat().st_size > 5_000, done.output
    reads = build_dataset("phage", "reads-150", data_dir=tmp_path / "in", output=tmp_path / "reads", groups="none")
    for folder, shortest in ((tmp_path / "arrays", 2_000), (reads, 150)):
        lengths, gc, common = draw_build(folder).axes
        assert [text.get_text() for text in lengths.get_legend().get_texts()] == ["fern", "moss"]
        assert lengths.get_xlim()[0] == pytest.approx(np.log10(shortest) - 0.1)
        fern, moss = (np.average(p.get_data().edges[:-1], weights=p.get_data().values) for p in gc.patches)
        assert fern == pytest.approx(5 / 6, abs=0.03) and moss == pytest.approx(1 / 3, abs=0.03)
        report = json.loads((folder / "report.json").read_text())
        found = report.get("read_leakage") or report["genome_leakage"]
        assert len(common.patches) == len(found["splits"]) * (2 if "read_leakage" in report else 1)
