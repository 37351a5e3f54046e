"""Heat shock proteins from frozen residues, or the closest that the data at hand allow: five folds, macro F1.

    python -m benchmarks.tables.hsp --data DATA --encoder runs/plus-rnn-base --work work/hsp

Any encoder: a run folder or Hub name of a protein language model; `--encoder none` is the same network with random
weights. Its residues stay as they are; a projection to 20, a convolution, the maximum over the protein and one layer
are trained (`sequence_head: residue_cnn`, `freeze: true`; PLUS, Min et al. 2021). DATA holds `hsp*` files
(`seqformers build plus_tasks --config hsp` says how they look); without them six families of `protein_families` stand
for the six families of heat shock proteins and the other fifteen for the rest. Folds are drawn by sequence, so
relatives stand on both sides of them, as the composition baseline shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._results import ROOT, write_result
from benchmarks.tables.proteins_shortcuts import composition
from seqformers.datasets import load_dataset
from seqformers.pictures import save_picture
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

__all__ = ["FOLDS", "main", "read_rows", "run_fold"]

FOLDS = 5
RECIPE = ROOT / "benchmarks" / "recipes" / "plus" / "hsp-rnn-base.yaml"
_FAMILIES, _OTHER, _LONGEST = 6, "none of them", 1000


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


def run_fold(rows: pd.DataFrame, fold: int, recipe: dict[str, Any] | Path, changes: list[str], work: Path) -> dict:
    """Train on three folds, choose on one, score the last; metrics of that and of the composition."""
    held = (fold + 1) % FOLDS
    splits = {
        "train": ~rows["fold"].isin([fold, held]),
        "validation": rows["fold"] == held,
        "test": rows["fold"] == fold,
    }
    folder = work / f"fold-{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    for split, chosen in splits.items():
        rows[chosen][["sequence", "label"]].to_parquet(folder / f"{split}-00000-of-00001.parquet", index=False)
    own = [f"data.path={folder}", "data.dataset=null", "data.config=null", "data.data_dir=null", "data.options={}"]
    run = train(load_recipe(recipe, [*own, *changes], task="finetune"), work / f"run-{fold}", overwrite=True)
    found = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    train_rows, test_rows = (rows[splits[split]] for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(composition(train_rows["sequence"].tolist()), train_rows["label"])
    called = model.predict(composition(test_rows["sequence"].tolist()))
    plain = f1_score(test_rows["label"], called, average="macro")
    return {
        "fold": fold,
        **{name: value["mean"] for name, value in found.items()},
        "composition_f1_macro": float(plain),
    }


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
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("changes", nargs="*", help="changes to the recipe, key=value, after --")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, what = read_rows(options.data)
    result: dict[str, Any] = {}
    for encoder in options.encoder:
        name, source = Path(encoder).name, f"model.from={'null' if encoder == 'none' else encoder}"
        kept = options.work / f"{name}.json"
        if not kept.is_file():
            work = options.work / name
            folds = [run_fold(rows, fold, options.recipe, [source, *options.changes], work) for fold in range(FOLDS)]
            kept.write_text(json.dumps(folds, indent=1))
        result["random weights" if encoder == "none" else name] = json.loads(kept.read_text())
    save_picture(draw(result), options.work / "f1.png")
    counts = {str(name): int(count) for name, count in rows["label"].value_counts().items()}
    write_result("hsp", {"rows": counts, "proteins": what, "encoders": result}, data=what, seeds=[0])
    for name, folds in result.items():
        values = [fold["f1_macro"] for fold in folds]
        print(f"{name:30} macro F1 {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")


if __name__ == "__main__":
    main()
