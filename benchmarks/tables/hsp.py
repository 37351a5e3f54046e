"""Heat shock proteins from frozen residues, or the closest that the data at hand allow: five folds, macro F1.

    python -m benchmarks.tables.hsp --data DATA --encoder runs/plus-rnn-base facebook/esm2_t6_8M_UR50D --work work/hsp

Any encoder: a run folder or Hub name of a protein language model, ours or of transformers itself; `none` is the first
of them with random weights. Its residues stay as they are and are computed once; a projection to 20, a convolution,
the maximum over the protein and one layer are trained on them (PLUS, Min et al. 2021), as `seqformers finetune
benchmarks/recipes/plus/hsp-rnn-base.yaml` does for one fold. Three folds are fitted, one chooses the epoch, one is
scored. DATA holds `hsp*` files (`seqformers build plus_tasks --config hsp` says how they look); without them six
families of `protein_families` stand for the six families of heat shock proteins and the other fifteen for the rest.
Folds are drawn by sequence, so relatives stand on both sides of them, as the composition baseline shows. Vectors are
kept in memory, two bytes a number: about 250 MB for a million residues and a width of 128.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, set_seed

from benchmarks._results import write_result
from benchmarks.tables.proteins_shortcuts import composition
from seqformers.datasets import load_dataset
from seqformers.hub.load import load_model
from seqformers.metrics.classification import classification_metrics
from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
from seqformers.modeling.protein.modeling_plus_rnn import PlusRnnModel
from seqformers.modeling.protein.modeling_protein_heads import ProteinResidueCnnHead
from seqformers.pictures import save_picture
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = ["FOLDS", "main", "read_rows", "residues_of", "run_fold"]

FOLDS = 5
METRICS = ["f1_macro", "accuracy", "mcc", "macro_recall"]
_FAMILIES, _OTHER, _LONGEST = 6, "none of them", 1000
_BATCH, _EPOCHS, _RATE = 32, 10, 5e-3


def read_rows(data: Path) -> tuple[pd.DataFrame, str]:
    """Proteins with `sequence`, `label` and `fold`, and what they are."""
    if any(path.is_file() for pattern in ("hsp*", "HSP*", "*/hsp*") for path in data.glob(pattern)):
        parts = []
        for fold in range(FOLDS):
            rows = load_dataset("plus_tasks", name="hsp", data_dir=data, split="test", test_fold=fold,
                                validation_fold=(fold + 1) % FOLDS)  # fmt: skip
            names = rows.features["label"].names
            labels = [names[number] for number in rows["label"]]
            parts.append(pd.DataFrame({"sequence": rows["sequence"][:], "label": labels, "fold": fold}))
        return pd.concat(parts, ignore_index=True), "heat shock proteins"
    table = pd.read_parquet(data / "protein_families/interpro_reviewed_21.parquet").drop_duplicates("sequence")
    table = table[table["sequence"].str.len() <= _LONGEST]
    kept = set(table["family"].value_counts().index[:_FAMILIES])
    labels = [family if family in kept else _OTHER for family in table["family"]]
    folds = np.random.default_rng(0).permutation(len(table)) % FOLDS
    return pd.DataFrame({"sequence": table["sequence"], "label": labels, "fold": folds}), "six families of 21"


@torch.inference_mode()
def residues_of(encoder: str, sequences: list[str], *, like: str | None = None) -> list[torch.Tensor]:
    """Frozen vectors of the residues of each protein, `(length, width)` of half precision.

    Args:
        encoder (`str`): Run folder or Hub name, or `none`: random weights of the layout of `like`.
        sequences (`list[str]`): Proteins; of longer ones the first 1,000 residues.
        like (`str`, *optional*): Whose layout; None for a small PLUS-RNN.
    """
    set_seed(0)
    source = like if encoder == "none" else encoder
    if source is None:
        model, tokenizer = PlusRnnModel(PlusRnnConfig(hidden_size=64, num_hidden_layers=2)), ProteinTokenizer("plus")
    else:
        loaded = load_model(source)
        model, tokenizer = loaded.model, loaded.encoder
        model = AutoModel.from_config(loaded.config) if encoder == "none" else getattr(model, "base_model", model)
    model, found = model.eval(), [torch.zeros(0)] * len(sequences)
    order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        texts = [sequences[place][:_LONGEST] for place in chosen]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
        hidden = model(**inputs).last_hidden_state.cpu().half()
        for place, text, vectors in zip(chosen, texts, hidden, strict=True):
            found[place] = vectors[1 : 1 + len(text)].clone()  # a start comes first
    return found


def run_fold(rows: pd.DataFrame, residues: list[torch.Tensor], fold: int, epochs: int = _EPOCHS) -> dict[str, Any]:
    """Train on three folds, choose the epoch on one, score the last; metrics of that and of the composition."""
    names = sorted(set(rows["label"]))
    labels = torch.as_tensor([names.index(label) for label in rows["label"]])
    held = (fold + 1) % FOLDS
    train, choosing, test = (
        np.flatnonzero(chosen)
        for chosen in (~rows["fold"].isin([fold, held]), rows["fold"] == held, rows["fold"] == fold)
    )
    set_seed(fold)
    rng = np.random.default_rng(fold)
    residues = _scaled(residues, train)
    head = ProteinResidueCnnHead(SimpleNamespace(representation_size=residues[0].shape[1], num_labels=len(names)))
    optimizer, best = torch.optim.Adam(head.parameters(), lr=_RATE), (-1.0, np.zeros(0))
    for _ in range(epochs):
        for batch in _batches(rng.permutation(train), residues, rng):
            loss = cross_entropy(head(*_padded(residues, batch)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        f1 = classification_metrics(_answers(head, residues, choosing), labels[choosing], ["f1_macro"])["f1_macro"]
        if f1 > best[0]:
            best = (f1, _answers(head, residues, test))
    found = classification_metrics(best[1], labels[test], METRICS)
    fitted = rows.iloc[train]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(composition(fitted["sequence"].tolist()), fitted["label"])
    called = model.predict(composition(rows.iloc[test]["sequence"].tolist()))
    plain = f1_score(rows.iloc[test]["label"], called, average="macro")
    return {"fold": fold, **found, "composition_f1_macro": float(plain)}


def _scaled(residues: list[torch.Tensor], train: np.ndarray) -> list[torch.Tensor]:
    """Vectors with mean 0 and spread 1 in every direction among every fourth protein that is fitted.

    Encoders differ a hundredfold in the size of their vectors, and by that in how soon the head has learnt.
    """
    known = torch.cat([residues[place].float() for place in train[::4]])
    mean, spread = known.mean(0), known.std(0).clamp_min(1e-6)
    return [((vectors.float() - mean) / spread).half() for vectors in residues]


def _batches(places: np.ndarray, residues: list[torch.Tensor], rng: np.random.Generator) -> list[np.ndarray]:
    """Proteins of like length together, the batches in random order."""
    order = places[np.argsort([len(residues[place]) for place in places], kind="stable")]
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    return [batches[place] for place in rng.permutation(len(batches))]


def _padded(residues: list[torch.Tensor], batch: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    vectors = [residues[place].float() for place in batch]
    mask = [torch.ones(len(some)) for some in vectors]
    return pad_sequence(vectors, batch_first=True), pad_sequence(mask, batch_first=True)


@torch.inference_mode()
def _answers(head: torch.nn.Module, residues: list[torch.Tensor], places: np.ndarray) -> np.ndarray:
    parts = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
    return np.concatenate([head(*_padded(residues, part)).numpy() for part in parts])


def draw(result: dict[str, Any]) -> Figure:
    """Box plot of the folds' macro F1 by encoder, composition beside."""
    figure = Figure(figsize=(1.6 + 1.4 * (len(result) + 1), 4), layout="constrained")
    axes = figure.subplots()
    values = [[fold["f1_macro"] for fold in folds] for folds in result.values()]
    values.append([fold["composition_f1_macro"] for fold in next(iter(result.values()))])
    axes.boxplot(values, tick_labels=[*result, "composition"])
    axes.set_ylabel("macro F1, five folds")
    return figure


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data, or of hsp* files")
    parser.add_argument(
        "--encoder", nargs="+", default=["none"], help="run folders or Hub names; none: random weights"
    )
    parser.add_argument("--work", type=Path, default=Path("work/hsp"))
    parser.add_argument("--epochs", type=int, default=_EPOCHS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    rows, what = read_rows(options.data)
    like = next((encoder for encoder in options.encoder if encoder != "none"), None)
    result: dict[str, Any] = {}
    for encoder in options.encoder:
        name = Path(encoder).name
        kept = options.work / f"{name}.json"
        if not kept.is_file():
            residues = residues_of(encoder, rows["sequence"].tolist(), like=like)
            folds = [run_fold(rows, residues, fold, options.epochs) for fold in range(FOLDS)]
            kept.write_text(json.dumps(folds, indent=1))
        drawn = "random weights" + (f", layout of {Path(like).name}" if like else "")
        result[drawn if encoder == "none" else name] = json.loads(kept.read_text())
    save_picture(draw(result), options.work / "f1.png")
    counts = {str(name): int(count) for name, count in rows["label"].value_counts().items()}
    facts = {"rows": counts, "proteins": what, "epochs": options.epochs, "encoders": result}
    path = write_result("hsp", facts, data=what, seeds=list(range(FOLDS)))
    path.with_suffix(".md").write_text(page(json.loads(path.read_text())))
    for name, folds in result.items():
        values = [fold["f1_macro"] for fold in folds]
        print(f"{name:30} macro F1 {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")


def page(outcome: dict[str, Any]) -> str:
    """The results as a page."""
    found = outcome["result"]
    rows = ", ".join(f"{name} {count:,}" for name, count in found["rows"].items())
    stand_in = "" if found["proteins"] == "heat shock proteins" else (
        "Not heat shock proteins, whose sequences were not to be had: six families of the 21 of `protein_families` "
        "stand for their six, the other fifteen for the rest. "
    )  # fmt: skip
    lines = [
        "# Families of proteins from frozen residues", "",
        f"`{outcome['command']}`, commit {outcome['commit']}. {stand_in}"
        "Frozen residues, scaled, a projection to 20, a convolution, the maximum and one layer trained on "
        f"three of five folds ({found['epochs']} epochs, the best chosen on the fourth), scored on the fifth. Folds "
        "are drawn by sequence, so relatives stand on both sides. Mean ± standard deviation over the folds; rows: "
        f"{rows}.", "", "| encoder | macro F1 | accuracy | MCC | macro recall |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, folds in found["encoders"].items():
        lines.append(f"| {name} | " + " | ".join(_spread(folds, key) for key in METRICS) + " |")
    plain = _spread(next(iter(found["encoders"].values())), "composition_f1_macro")
    return "\n".join([*lines, f"| *composition* | {plain} | - | - | - |"]) + "\n"


def _spread(folds: list[dict[str, Any]], key: str) -> str:
    values = [fold[key] for fold in folds]
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    main()
