"""Attention that words receive, against loops; tf-idf, CpG by head, maps; vectors of words as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from typer.testing import CliRunner

from seqformers import KmerBertConfig, KmerBertForMaskedLM, VariableKmerTokenizer
from seqformers.cli import app
from seqformers.hub.load import Loaded
from seqformers.hub.repository import write_model_repository
from seqformers.inference.windowing import Windowing
from seqformers.interpret.word_attention import head_rows, map_of_words, read_text, summary_rows, word_rows
from seqformers.interpret.words import word_vectors

TOKENIZER = VariableKmerTokenizer(k=2, k_max=3)
TEXTS = ["ACGTTCGACGATTA", "CCGGATTACAGGACGT", "TTACGNACGATT", "ACGCGCGTATATCC"]


@pytest.fixture(scope="module")
def model() -> KmerBertForMaskedLM:
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=2, k_max=3, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=12,
        max_position_embeddings=40, initializer_range=0.8, attn_implementation="eager",
    )  # fmt: skip
    return KmerBertForMaskedLM(config).eval()


@pytest.fixture(scope="module")
def repository(model: KmerBertForMaskedLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "model"
    write_model_repository(folder, model, tokenizer=TOKENIZER)
    return folder


def slow(model: KmerBertForMaskedLM) -> tuple[dict[str, list[float]], dict[tuple[str, int, int, int], list[float]]]:
    """Attention received by every word in the last layer; and of pairs of words that share no base, by head."""
    received: dict[str, list[float]] = {}
    shares: dict[tuple[str, int, int, int], list[float]] = {}
    for text in TEXTS:
        batch = TOKENIZER([text], return_tensors="pt", return_offsets_mapping=True)
        offsets = batch.pop("offset_mapping")[0].tolist()
        with torch.no_grad():
            attentions = torch.stack(model.bert(**batch, output_attentions=True).attentions)[:, 0].numpy()
        tokens = TOKENIZER.convert_ids_to_tokens(batch["input_ids"][0].tolist())
        mine = [place for place, token in enumerate(tokens) if not token.startswith("[")]
        mean = attentions[-1].mean(0)
        total = sum(mean[a, b] for a in mine for b in mine if a != b)
        for b in mine:
            received.setdefault(tokens[b], []).append(len(mine) * sum(mean[a, b] for a in mine if a != b) / total)
        for a in mine:
            apart = [b for b in mine if offsets[b][1] <= offsets[a][0] or offsets[a][1] <= offsets[b][0]]
            holders = [b for b in apart if "CG" in tokens[b]]
            for layer in range(2) if apart else ():
                for head in range(3):
                    row = attentions[layer, head, a]
                    key = ("CG", int("CG" not in tokens[a]), layer, head)
                    share = sum(row[b] for b in holders) / sum(row[b] for b in apart)
                    shares.setdefault(key, []).append([share, len(holders) / len(apart)])
    return received, shares


@pytest.mark.filterwarnings("ignore:.*are \\[UNK\\]:UserWarning")
def test_attention_and_tf_idf_are_those_of_loops_over_words(model: KmerBertForMaskedLM) -> None:
    loaded = Loaded(model, TOKENIZER, model.config)
    spans = [span for text in TEXTS for span in Windowing().for_model(loaded).cut(text)]
    found = read_text(loaded, spans, batch_size=3)
    received, shares = slow(model)
    words = word_rows(found)
    assert set(words["word"]) == set(received)
    documents = [[t for t in TOKENIZER.tokenize(text) if t != "[UNK]"] for text in TEXTS]
    for row in words.itertuples():
        assert row.count == len(received[row.word]) and row.letters == len(row.word)
        assert row.attention == pytest.approx(np.mean(received[row.word]), rel=1e-4)
        holds = sum(row.word in document for document in documents)
        share = np.mean([document.count(row.word) / len(document) for document in documents])
        assert row.tf_idf == pytest.approx(share * np.log(4 / holds), abs=1e-12)
    heads = head_rows(found).set_index(["layer", "head"])
    for (_, kind, layer, head), pairs in shares.items():
        given, even = np.sum(pairs, axis=0)
        column = "cg_to_cg" if kind == 0 else "others_to_cg"
        assert heads.loc[(layer, head), column] == pytest.approx(given / even, rel=1e-4)


def test_a_summary_counts_by_length_and_says_what_chance_gives() -> None:
    words = pd.DataFrame(
        {
            "word": [f"w{n}" for n in range(40)], "letters": [3] * 20 + [4] * 20, "count": [9] * 36 + [1] * 4,
            "tf_idf": np.linspace(1, 0, 40), "attention": np.r_[np.linspace(0, 1, 20), np.linspace(1, 0, 20)],
        }
    )  # fmt: skip
    rows = summary_rows(words).set_index("letters")
    assert rows.loc["3", "spearman"] == pytest.approx(-1) and rows.loc["4", "spearman"] == pytest.approx(1)
    assert rows.loc["all", "words"] == 36 and rows.loc["4", "words"] == 16
    expected = spearmanr(words["tf_idf"][:36], words["attention"][:36]).statistic
    assert rows.loc["all", "spearman"] == pytest.approx(expected)
    assert (rows.loc["3", "top"], rows.loc["3", "in_both_tops"], rows.loc["3", "expected_in_both"]) == (10, 0, 5)


def test_a_map_draws_as_many_words_of_each_length_and_is_the_same_again(model: KmerBertForMaskedLM) -> None:
    vectors = word_vectors(Loaded(model, TOKENIZER, model.config))
    places = map_of_words(vectors, most=60)
    assert places["letters"].value_counts().to_dict() == {2: 16, 3: 30}
    pd.testing.assert_frame_equal(places, map_of_words(vectors, most=60))


def test_a_command_writes_tables_and_pictures(repository: Path, tmp_path: Path) -> None:
    fasta = tmp_path / "text.fa"
    rng = np.random.default_rng(0)
    fasta.write_text("".join(f">s{n}\n{''.join(rng.choice(list('ACGT'), 60))}\n" for n in range(12)))
    words = ["explain", str(repository), str(fasta), "-o", str(tmp_path / "out"), "-m", "words"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    tables = {name: pd.read_csv(tmp_path / "out" / f"{name}.tsv", sep="\t") for name in ("words", "heads", "map")}
    assert len(tables["heads"]) == 6 and tables["words"]["tf_idf"].is_monotonic_decreasing
    assert len(tables["map"]) == 80
    for name in ("words", "heads", "map"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="layer 5 does not exist"):
        CliRunner().invoke(app, [*words[:-2], "-m", "words", "--layer", "5", "--overwrite"], catch_exceptions=False)


def test_vectors_of_words_are_written_as_parquet_and_text(repository: Path, tmp_path: Path) -> None:
    vectors = word_vectors(repository)
    assert len(vectors.words) == 16 + 64 and vectors.matrix.shape[1] == 12
    for suffix in ("parquet", "txt"):
        path = tmp_path / f"vectors.{suffix}"
        result = CliRunner().invoke(app, ["embed", str(repository), "--tokens", "-o", str(path)])
        assert result.exit_code == 0, result.output
    table = pd.read_parquet(tmp_path / "vectors.parquet")
    assert table["token"].tolist() == vectors.words
    np.testing.assert_array_equal(np.stack(table["embedding"]), vectors.matrix)
    lines = (tmp_path / "vectors.txt").read_text().splitlines()
    assert lines[0] == "80 12" and lines[17].split()[0] == vectors.words[16]
    for words, message in (
        (["embed", str(repository), "-o", str(tmp_path / "a.parquet")], "give a FASTA file, or --tokens"),
        (["embed", str(repository), "--tokens", "-o", str(tmp_path / "a.csv")], "go into .parquet or .txt"),
    ):
        with pytest.raises(ValueError, match=message):
            CliRunner().invoke(app, words, catch_exceptions=False)
