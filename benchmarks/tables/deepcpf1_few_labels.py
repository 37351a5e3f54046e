"""Few labels of another pool: fine-tune the packaged guide model, beside learning from nothing and boosted trees.

    export SEQFORMERS_DATA=data
    python -m benchmarks.tables.deepcpf1_few_labels --work runs/few

Labels of other Cas12a enzymes are not among the public tables at hand. HT 2 stands in: the same enzyme at targets of
another pool, which no network here was trained on. 100, 300 or 1,000 of its rows are drawn to learn from, 1,500
others, the same for all, test. Rates and epochs were fixed beforehand and not chosen by these scores. The recipe
`benchmarks/recipes/deepcpf1/other_enzyme.yaml` does the same with Trainer for a table of an enzyme of your own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks._results import RESULTS, commit_of, data_folder, write_result
from benchmarks.tables.deepcpf1_fits import Data, Store, fit_network, predict
from seqformers import DeepCpf1Config, DeepCpf1Model
from seqformers.guides.features import letter_features, melting_features
from seqformers.hub.load import packaged_model

SIZES, SEEDS, TEST, POOL = (100, 300, 1000), (0, 1, 2), 1500, "ht_2"
ARMS = ("packaged, no labels", "fine-tuned from packaged", "from scratch", "boosted trees")


def learned(data: Data, arm: str, rows: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Scores of the test rows."""
    codes, labels = data.codes[POOL], data.labels[POOL]
    if arm == "boosted trees":
        from lightgbm import LGBMRegressor

        read = np.hstack([letter_features(codes), melting_features(codes)])
        trees = LGBMRegressor(
            n_jobs=1, verbose=-1, random_state=seed, n_estimators=300, learning_rate=0.03, num_leaves=8,
            min_child_samples=10, colsample_bytree=0.3,
        )  # fmt: skip
        return np.asarray(trees.fit(read[rows], labels[rows]).predict(read[test]))
    torch.manual_seed(seed)
    if arm == "from scratch":
        model = DeepCpf1Model(DeepCpf1Config(output_scale=30))
    else:
        model = DeepCpf1Model.from_pretrained(packaged_model("deepcpf1"))
    if arm != "packaged, no labels":
        scratch = arm == "from scratch"
        options: dict[str, Any] = {"epochs": 60, "learning_rate": 1e-3} if scratch else {"epochs": 15}
        fit_network(model, codes[rows], labels[rows], seed=seed, batch=32, **{"learning_rate": 2e-4, **options})
    return predict(model, codes[test])


def measure(data: Data, store: Store) -> dict[str, Any]:
    order = np.random.default_rng(0).permutation(len(data.labels[POOL]))
    test, rest = order[:TEST], order[TEST:]
    rows: dict[str, Any] = {}
    for size in SIZES:
        for arm in ARMS:
            values = []
            for seed in SEEDS:
                drawn = np.random.default_rng([seed, size]).permutation(rest)[:size]
                key = f"{arm.replace(',', '').replace(' ', '_')}_{size}_{seed}"
                found = store.get(key, lambda a=arm, d=drawn, s=seed: {"test": learned(data, a, d, test, s)})["test"]
                values.append(float(spearmanr(found, data.labels[POOL][test]).statistic))
            rows.setdefault(arm, {})[str(size)] = {
                "spearman": round(float(np.mean(values)), 4),
                "sd": round(float(np.std(values, ddof=1)), 4),
                "values": [round(value, 4) for value in values],
            }
    return {"rows": rows, "test_rows": TEST}


def page() -> str:
    """The section of `deepcpf1.md`."""
    found = json.loads((RESULTS / "deepcpf1_few_labels.json").read_text(encoding="utf-8"))
    lines = [
        f"## Few labels\n\nLabels of HT 2 to learn from, {found['result']['test_rows']:,} others of it to test; mean "
        "± standard deviation over three draws. It stands in for another enzyme, whose labels are not in tables at "
        "hand; being of the same enzyme, it is the easy case for the packaged weights.\n",
        f"| learned | {' | '.join(f'{size:,} labels' for size in SIZES)} |\n|---{'|---' * len(SIZES)}|",
    ]
    for arm, row in found["result"]["rows"].items():
        cells = [f"{row[str(size)]['spearman']:.4f} ± {row[str(size)]['sd']:.4f}" for size in SIZES]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n<sub>`{found['command']}`, commit {commit_of(found)}.</sub>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of finished fits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(Data(data_folder("cpf1_activity")), Store(arguments.work))
    write_result("deepcpf1_few_labels", result, data="HT 2 (2,963)", seeds=list(SEEDS))


if __name__ == "__main__":
    main()
