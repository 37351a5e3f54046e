"""Word vectors of k-mers: losses and gradients against loops written from the papers, strands, words and files."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqformers import (
    Kmer2VecConfig,
    Kmer2VecForPreTraining,
    Kmer2VecForSequenceClassification,
    Kmer2VecModel,
    KmerTokenizer,
    ResidueWordTokenizer,
    VariableKmerTokenizer,
)
from seqformers.hub.load import Loaded
from seqformers.inference.embed import embed
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.words import (
    WordVectors,
    alignment_correlation,
    concatenation_score,
    paragraph_vectors,
    word_vectors,
    write_word2vec,
)
from seqformers.modeling.dna import modeling_kmer2vec
from seqformers.modeling.dna.modeling_dna_heads import reverse_complement_ids
from seqformers.training import finetune, pretrain
from seqformers.training.recipe import load_recipe
from seqformers.training.run import Run
from tests.conftest import ROOT

IDS = torch.tensor([[2, 7, 9, 30, 9, 41, 12, 3], [2, 50, 7, 1, 9, 3, 0, 0]])


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def slow(model: Any, negatives: torch.Tensor) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss and its gradients by both tables, pair by pair (Mikolov et al. 2013; Goldberg and Levy 2014)."""
    inside = model.kmer2vec.word_embeddings.weight.detach().double().numpy()
    outside = model.contexts.weight.detach().double().numpy()
    config, losses = model.config, []
    by_inside, by_outside = np.zeros_like(inside), np.zeros_like(outside)
    for row, ids in enumerate(IDS.tolist()):
        for place, word in enumerate(ids):
            around = [
                place + sign * config.step * count
                for count in range(1, config.window + 1)
                for sign in (-1, 1)
                if 0 <= place + sign * config.step * count < len(ids)
            ]
            around = [ids[other] for other in around if ids[other] > 4]
            if word <= 4 or not around:
                continue
            noise = negatives[row, place].tolist()
            if config.objective == "skipgram":
                told = [(inside[word], [word], other) for other in around]
            else:
                told = [(inside[around].mean(0), around, word)]
            for vector, sources, other in told:
                losses.append(-np.log(sigmoid(vector @ outside[other])))
                pull = (sigmoid(vector @ outside[other]) - 1) * outside[other]
                by_outside[other] += (sigmoid(vector @ outside[other]) - 1) * vector
                for each in noise:
                    losses[-1] -= np.log(sigmoid(-vector @ outside[each]))
                    pull = pull + sigmoid(vector @ outside[each]) * outside[each]
                    by_outside[each] += sigmoid(vector @ outside[each]) * vector
                for source in sources:
                    by_inside[source] += pull / len(sources)
    return float(np.mean(losses)), by_inside / len(losses), by_outside / len(losses)


@pytest.mark.parametrize(("objective", "step", "block"), [("skipgram", 1, 64), ("skipgram", 2, 3), ("cbow", 2, 64)])
def test_loss_and_gradients_are_those_of_the_papers_pair_by_pair(
    objective: str, step: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modeling_kmer2vec, "_BLOCK", block)
    torch.manual_seed(0)
    config = Kmer2VecConfig(k=3, hidden_size=6, window=2, step=step, num_negatives=4, objective=objective)
    model = Kmer2VecForPreTraining(config).double().eval()
    torch.nn.init.normal_(model.kmer2vec.word_embeddings.weight)
    torch.nn.init.normal_(model.contexts.weight)
    negatives = torch.randint(5, 69, (*IDS.shape, 4))
    labels = torch.where(IDS > 4, IDS, -100)
    loss = model(IDS, (IDS != 0).long(), labels=labels, negatives=negatives).loss
    loss.backward()
    expected, by_inside, by_outside = slow(model, negatives)
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    found = model.kmer2vec.word_embeddings.weight.grad.numpy()
    np.testing.assert_allclose(found[1:], by_inside[1:], atol=1e-9)
    np.testing.assert_allclose(model.contexts.weight.grad.numpy(), by_outside, atol=1e-9)


def test_negatives_follow_the_counts_to_the_power_three_quarters() -> None:
    torch.manual_seed(0)
    model = Kmer2VecForPreTraining(Kmer2VecConfig(k=3, hidden_size=2, window=1, num_negatives=50)).train()
    drawn: list[torch.Tensor] = []
    model._against = lambda vectors, negatives: drawn.append(negatives) or torch.zeros(negatives.shape[:2])  # type: ignore
    row = torch.tensor([[5] * 81 + [6] * 16 + [7] * 3])
    for _ in range(20):
        model(row, labels=row)
    found = torch.bincount(torch.stack(drawn).flatten(), minlength=8)[5:8].double()
    expected = torch.tensor([81.0, 16.0, 3.0]).double() ** 0.75
    torch.testing.assert_close(found / found.sum(), expected / expected.sum(), atol=0.01, rtol=0.03)
    assert model.counts[5:8].tolist() == [81 * 20, 16 * 20, 3 * 20]


@pytest.mark.parametrize("k", [1, 3, 4, 6])
def test_reverse_complements_of_ids_are_those_of_the_letters(k: int) -> None:
    tokenizer = KmerTokenizer(k=k)
    words = ["".join(word) for word in np.random.default_rng(0).choice(list("ACGT"), (30, k))]
    ids = torch.tensor([tokenizer.get_vocab()[word] for word in words])
    turned = [tokenizer.get_vocab()[reverse_complement(word)] for word in words]
    assert reverse_complement_ids(ids, [k]).tolist() == turned
    assert reverse_complement_ids(torch.arange(5), [k]).tolist() == [0, 1, 2, 3, 4]


def test_words_of_several_lengths_have_one_table() -> None:
    tokenizer = VariableKmerTokenizer(k=2, k_max=4)
    config = Kmer2VecConfig(k=2, k_max=4, hidden_size=6, both_strands=True)
    assert config.vocab_size == tokenizer.vocab_size == 5 + 16 + 64 + 256
    known = tokenizer.get_vocab()
    words = ["".join(x) for n in (2, 3, 4) for x in np.random.default_rng(n).choice(list("ACGT"), (10, n))]
    ids = torch.tensor([known[word] for word in words])
    turned = [known[reverse_complement(word)] for word in words]
    assert reverse_complement_ids(ids, config.lengths).tolist() == turned
    assert reverse_complement_ids(torch.arange(5), config.lengths).tolist() == [0, 1, 2, 3, 4]
    model = Kmer2VecModel(config).eval()
    one, other = (model(torch.tensor([[2, *row, 3]])).pooler_output for row in (ids.tolist(), turned))
    torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="k_max must be k=5 to 8, got 3"):
        Kmer2VecConfig(k=5, k_max=3)


def test_arithmetic_is_found_where_it_holds_and_not_in_noise() -> None:
    """Vectors that count letters add up exactly; ties of permuted letters are broken by which letters are where."""
    words = ["".join(word) for n in (2, 4) for word in product("ACGT", repeat=n)]
    rng = np.random.default_rng(0)
    at = rng.normal(size=(4, 40))
    exact = np.array([sum(at["ACGT".index(x)] for x in word) for word in words], np.float32)
    found = concatenation_score(WordVectors(words, exact), (2, 2), pairs=100, among=24)
    noise = concatenation_score(WordVectors(words, rng.normal(size=exact.shape)), (2, 2), pairs=400, among=24)
    assert found["found"] == 1.0 and found["chance"] == pytest.approx(1 - (1 - 24 / 256) * (1 - 24 / 255))
    assert noise["found"] == pytest.approx(noise["chance"], abs=0.06)
    with pytest.raises(ValueError, match="no words of 3 letters; lengths here: 2, 4"):
        concatenation_score(WordVectors(words, exact), (2, 3))


def test_vectors_of_places_and_letters_lie_as_their_words_align_and_noise_does_not() -> None:
    words = ["".join(word) for word in product("ACGT", repeat=5)]
    rng = np.random.default_rng(0)
    counts = np.array([[word.count(a + b) for a in "ACGT" for b in "ACGT"] for word in words], np.float32)
    found = alignment_correlation(WordVectors(words, counts), 5, pairs=300)
    noise = alignment_correlation(WordVectors(words, rng.normal(size=(1024, 40))), 5, pairs=300)
    assert found["pairs"] == 300 and found["spearman"] > 0.6
    assert abs(noise["spearman"]) < 0.75 * found["spearman"]  # words that are alike have the same vector
    with pytest.raises(ValueError, match="no words of 8 letters; lengths here: 5"):
        alignment_correlation(WordVectors(words, counts))


def test_lengths_are_drawn_anew_and_the_run_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        rows = {"sequence": ["".join(rng.choice(list("ACGT"), 40)) for _ in range(16)]}
        pd.DataFrame(rows).to_parquet(tmp_path / "data" / f"{split}.parquet")
    recipe = {
        "model": {"type": "kmer2vec", "config": {"hidden_size": 8, "window": 3}},
        "tokenizer": {"type": "VariableKmerTokenizer", "k": 2, "k_max": 4},
        "data": {"path": str(tmp_path / "data"), "label": None},
        "training": {"per_device_train_batch_size": 8, "max_steps": 4, "use_cpu": True, "learning_rate": 0.05},
    }
    run = Run.prepare(load_recipe({**recipe, "task": "pretrain"}), tmp_path / "x")
    collate, rows = run.training_collate(0), [run.table.splits["train"][row] for row in range(8)]
    first, second = (collate(rows)["input_ids"] for _ in range(2))
    assert first.shape == second.shape and not torch.equal(first, second)
    lengths = torch.bucketize(first[first > 4], torch.tensor([21, 85]), right=True).bincount()
    assert (lengths / lengths.sum() - 1 / 3).abs().max() < 0.1
    found = word_vectors(pretrain(recipe, output=tmp_path / "pt"))
    assert len(found.words) == 16 + 64 + 256 and found.matrix.shape[1] == 8
    assert 0 <= concatenation_score(found, (2, 2), pairs=20)["found"] <= 1


def test_both_strands_have_one_vector() -> None:
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(k=4)
    model = Kmer2VecForSequenceClassification(Kmer2VecConfig(k=4, hidden_size=8, both_strands=True)).eval()
    text = "ACGGATTACGATCCGATTA"
    one, other = model(**tokenizer([text, reverse_complement(text)], return_tensors="pt")).logits
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_a_sequence_is_the_pooled_vectors_of_its_words(pooling: str) -> None:
    torch.manual_seed(0)
    model = Kmer2VecModel(Kmer2VecConfig(k=3, hidden_size=5, pooling=pooling)).eval()
    words = [7, 9, 30, 9, 41, 12]
    rows = model.word_embeddings.weight[words]
    expected = {"mean": rows.mean(0), "sum": rows.sum(0), "max": rows.amax(0)}[pooling]
    torch.testing.assert_close(model(IDS, (IDS != 0).long()).pooler_output[0], expected)
    embedded = model(inputs_embeds=model.get_input_embeddings()(IDS[:1])).pooler_output
    torch.testing.assert_close(embedded[0], expected)


def test_words_of_the_same_neighbours_come_close() -> None:
    """Words 20 and 21 stand between the same ones, 22 between others."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    rows = [_row(rng) for _ in range(60)]
    ids = torch.tensor(rows)
    model = Kmer2VecForPreTraining(Kmer2VecConfig(k=3, hidden_size=8, window=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    loaded = Loaded(model.eval(), KmerTokenizer(k=3), model.config)
    vectors = word_vectors(loaded)
    names = {number: loaded.encoder.convert_ids_to_tokens(number) for number in (20, 21, 22)}
    cosine = dict(vectors.nearest(names[20], len(vectors.words)))
    assert cosine[names[21]] > 0.8 and cosine[names[21]] > cosine[names[22]] + 0.3


def _row(rng: np.random.Generator) -> list[int]:
    words = [2]
    for _ in range(6):
        middle = int(rng.choice([20, 21, 22]))
        first = 30 if middle < 22 else 40
        words += [first + int(rng.integers(2)), middle, first + 2 + int(rng.integers(2))]
    return [*words, 3]


def test_a_recipe_learns_vectors_and_a_classifier_begins_with_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        texts = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(16)]
        pd.DataFrame({"sequence": texts, "label": np.arange(16) % 2}).to_parquet(
            tmp_path / "data" / f"{split}.parquet"
        )
    recipe: dict[str, Any] = {
        "model": {"type": "kmer2vec", "config": {"hidden_size": 8, "window": 3}},
        "tokenizer": {"k": 3},
        "data": {"path": str(tmp_path / "data"), "label": None},
        "training": {"per_device_train_batch_size": 8, "max_steps": 4, "use_cpu": True, "learning_rate": 0.05},
        "baselines": {"names": []},
    }
    run = pretrain(recipe, output=tmp_path / "pt")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert set(found) == {"loss"} and found["loss"]["mean"] < 6 * np.log(2)  # what vectors of zero give
    file = write_word2vec(run, tmp_path / "vectors.txt")
    lines = file.read_text().splitlines()
    assert lines[0] == "64 8" and len(lines) == 65
    vectors = word_vectors(run)
    word, *numbers = lines[5].split()
    np.testing.assert_allclose(np.array(numbers, float), vectors.of(word), rtol=1e-6)
    with pytest.raises(ValueError, match="no vector of 'ACGT'"):
        vectors.nearest("ACGT")
    recipe |= {"model": {"type": "kmer2vec", "from": str(run)}, "data": {"path": str(tmp_path / "data")}}
    recipe["training"] = recipe["training"] | {"learning_rate": 0.0}
    recipe.pop("tokenizer")
    tuned = finetune(recipe, output=tmp_path / "ft")
    np.testing.assert_array_equal(word_vectors(tuned).matrix, vectors.matrix)


def test_protvec_from_a_recipe_to_vectors_of_proteins(tmp_path: Path) -> None:
    """A protein is the mean of its trigrams in all three frames, and neighbours in training are of one frame."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        rows = {"sequence": ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 50)) for _ in range(16)]}
        pd.DataFrame(rows).to_parquet(tmp_path / "data" / f"{split}.parquet")
    recipe = ROOT / "benchmarks" / "recipes" / "kmer2vec" / "protvec.yaml"
    changes = ["model.config.hidden_size=6", "training.max_steps=2", "training.use_cpu=true"]
    changes.append(f"data.path={tmp_path / 'data'}")
    run = pretrain(recipe, changes, output=tmp_path / "pt")
    config = json.loads((run / "config.json").read_text())
    assert (config["molecule"], config["k"], config["step"], config["vocab_size"]) == ("protein", 3, 3, 8005)
    protein = "MKTAYIAKQRQISF"
    (tmp_path / "a.fa").write_text(f">p\n{protein}\n")
    vector = pd.read_json(embed(run, tmp_path / "a.fa", tmp_path / "v.jsonl", progress=False), lines=True)
    words = word_vectors(run)
    frames = [[protein[i : i + 3] for i in range(frame, len(protein) - 2, 3)] for frame in range(3)]
    expected = sum(words.of(word) for frame in frames for word in frame)
    np.testing.assert_allclose(vector["embedding"][0], expected / (len(protein) - 2), rtol=1e-4, atol=1e-6)
    summed = Kmer2VecModel.from_pretrained(run).eval()(**ResidueWordTokenizer()([protein], return_tensors="pt"))
    np.testing.assert_allclose(summed.pooler_output[0].detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    model = Kmer2VecForPreTraining(Kmer2VecConfig(molecule="protein", k=3, hidden_size=2, window=1, step=3))
    _, pairs = model._skipgram(torch.arange(5, 12)[None], torch.ones(1, 7, dtype=torch.bool), torch.full((1, 7, 5), 6))
    assert int(pairs) == 2 * (7 - 3)
    with pytest.raises(ValueError, match="residues have none"):
        Kmer2VecConfig(molecule="protein", k=3, both_strands=True)
    with pytest.raises(ValueError, match="words of residues have one length"):
        Kmer2VecConfig(molecule="protein", k=2, k_max=3)


def test_paragraph_vectors_are_where_the_loss_of_doc2vec_is_lowest() -> None:
    """Le and Mikolov 2014: words of a text against others, pair by pair; no step from there lowers it."""
    torch.manual_seed(0)
    model = Kmer2VecForPreTraining(Kmer2VecConfig(k=2, hidden_size=4, num_negatives=3)).eval()
    torch.nn.init.normal_(model.contexts.weight)
    model.counts[5:] = torch.rand(16) * 20
    loaded = Loaded(model, KmerTokenizer(k=2, unknown_warning_share=1.0), model.config)
    texts = ["ACGTTGCA", "GGGGGGG", "NNNN"]
    found = paragraph_vectors(loaded, texts)
    contexts, weights = (
        model.contexts.weight.detach().numpy().astype(float),
        model.counts.numpy().astype(float) ** 0.75,
    )

    def loss(vector: np.ndarray, words: list[int]) -> float:
        own = np.mean([-np.log(sigmoid(vector @ contexts[word])) for word in words])
        others = [weights[word] / weights.sum() * -np.log(sigmoid(-vector @ contexts[word])) for word in range(5, 21)]
        return float(own + 3 * sum(others))

    rng = np.random.default_rng(0)
    for vector, text in zip(found[:2], texts, strict=False):
        words = loaded.encoder(text, add_special_tokens=False).input_ids
        least = loss(vector.astype(float), words)
        assert all(loss(vector + 0.05 * rng.normal(size=4), words) > least for _ in range(20))
    np.testing.assert_array_equal(found[2], 0)
    np.testing.assert_allclose(paragraph_vectors(loaded, texts[1:2])[0], found[1], atol=1e-5)
    bare = Loaded(Kmer2VecModel(model.config), loaded.encoder, model.config)
    with pytest.raises(ValueError, match="has no table of contexts"):
        paragraph_vectors(bare, texts)
