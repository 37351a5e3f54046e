"""One network that learns the scores of `best`: from letters alone, and from letters and the structure of the crRNA.

    export SEQFORMERS_DATA=data
    python -m benchmarks.tables.deepcpf1_student --work runs/student

Contexts to learn from are made up: the front of one training target of HT 1-1 and the back of another, one letter in
twenty drawn anew, the TTT of the PAM kept; their labels are the scores of the packaged `best`. Both students have the
shape of `fast`; the second adds a linear map of the 46 features of `seqformers.guides.folding` to its first dense
layer. Shape, contexts and epochs were fixed beforehand; HT 1-2 and HT 2 only test, beside `fast` and `best`.
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
from benchmarks.tables.deepcpf1_fits import NETWORKS, TESTS, TRAIN, Data, Fit, Store
from benchmarks.tables.rank_tests import bootstrap_interval, holm, steiger
from seqformers import DeepCpf1Config, DeepCpf1Model
from seqformers.guides.best import BestScorer
from seqformers.guides.folding import STRUCTURE_NAMES, structure_features
from seqformers.guides.scorer import GuideScorer

CONTEXTS, EPOCHS, BATCH, RATE = 40_000, 8, 512, 1e-3
MUTATED, T = 0.05, 3
STUDENTS = {"student, letters": False, "student, letters and structure": True}


class Student(torch.nn.Module):
    """A DeepCpf1 network whose first dense layer may also read the structure of the crRNA."""

    def __init__(self, structure: np.ndarray | None):
        super().__init__()
        self.network = DeepCpf1Model(DeepCpf1Config(output_scale=30, **NETWORKS["wide_weighted"]["config"]))
        self.side = (
            None if structure is None else torch.nn.Linear(len(STRUCTURE_NAMES), self.network.dense[0].out_features)
        )
        if structure is not None:
            self.register_buffer("mean", torch.from_numpy(structure.mean(0)))
            self.register_buffer("spread", torch.from_numpy(structure.std(0) + 1e-3))

    def forward(self, codes: torch.Tensor, structure: torch.Tensor) -> torch.Tensor:
        """Scores in percent; without dropout, for the labels have no noise."""
        pooled = self.network._hidden_states(torch.nn.functional.one_hot(codes, 4).float())[1].flatten(1)
        first, *rest = self.network.dense
        hidden = first(pooled)
        if self.side is not None:
            hidden = hidden + self.side((structure - self.mean) / self.spread)
        for layer in rest:
            hidden = layer(torch.relu(hidden))
        return self.network.score_states(torch.relu(hidden))[1]


def made_up(codes: np.ndarray, count: int) -> np.ndarray:
    """Contexts recombined and mutated from training targets."""
    rng = np.random.default_rng(0)
    front, back = (codes[rng.integers(0, len(codes), count)] for _ in range(2))
    found = np.where(np.arange(codes.shape[1]) < rng.integers(9, 31, count)[:, None], front, back)
    found = np.where(rng.random(found.shape) < MUTATED, rng.integers(0, 4, found.shape), found).astype(np.uint8)
    found[:, 4:7] = T
    return found


def fit(codes: np.ndarray, structure: np.ndarray, labels: np.ndarray, *, reads_structure: bool) -> Student:
    torch.manual_seed(0)
    student = Student(structure if reads_structure else None).eval()  # evaluation mode: no dropout
    inputs, side, wanted = torch.from_numpy(codes).long(), torch.from_numpy(structure), torch.from_numpy(labels)
    steps = EPOCHS * -(-len(codes) // BATCH)
    optimizer = torch.optim.Adam(student.parameters(), RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(codes)).split(BATCH):
            (student(inputs[rows], side[rows]) - wanted[rows]).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return student


def predict(student: Student, codes: np.ndarray, structure: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        parts = zip(torch.from_numpy(codes).long().split(1024), torch.from_numpy(structure).split(1024), strict=True)
        return torch.cat([student(*part) for part in parts]).numpy()


def learn(data: Data, store: Store) -> dict[str, Fit]:
    """Scores of both students on the tests."""
    codes = made_up(data.codes[TRAIN], CONTEXTS)
    taught = store.get("teacher", lambda: {"labels": BestScorer(device="cpu").score(codes)[0]})["labels"]
    fits: dict[str, Fit] = {}
    for name, reads_structure in STUDENTS.items():

        def make(reads_structure: bool = reads_structure) -> Fit:
            student = fit(codes, structure_features(codes), taught, reads_structure=reads_structure)
            return {test: predict(student, data.codes[test], structure_features(data.codes[test])) for test in TESTS}

        fits[name] = store.get(name.replace(",", "").replace(" ", "_"), make)
    return fits


def measure(data: Data, store: Store) -> dict[str, Any]:
    fits = learn(data, store)
    for name, scorer in {"fast": GuideScorer(device="cpu"), "best": BestScorer(device="cpu")}.items():
        fits[name] = {test: scorer.score(data.codes[test])[0] for test in TESTS}
    rows = {
        name: {
            test: {
                "spearman": round(float(spearmanr(found[test], data.labels[test]).statistic), 4),
                "interval_95": bootstrap_interval(found[test], data.labels[test]),
            }
            for test in TESTS
        }
        for name, found in fits.items()
    }
    tests = []
    for name in STUDENTS:
        for other in ("fast", "best"):
            for test in TESTS:
                first, second, labels = fits[name][test], fits[other][test], data.labels[test]
                _, p = steiger(first, second, labels)
                apart = bootstrap_interval(first, labels, second)
                tests.append(
                    {"first": name, "second": other, "data": test, "p": float(f"{p:.2g}"), "difference_95": apart}
                )
    for test, adjusted in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = adjusted
    return {"rows": rows, "tests": tests, "contexts": CONTEXTS, "epochs": EPOCHS}


def page() -> str:
    """The section of `deepcpf1.md`."""
    found = json.loads((RESULTS / "deepcpf1_student.json").read_text(encoding="utf-8"))
    result = found["result"]
    p = {(test["first"], test["second"], test["data"]): test for test in result["tests"]}
    lines = [
        f"## One network taught by `best`\n\nLearned from the scores of `best` for {result['contexts']:,} made-up "
        f"contexts, {result['epochs']} epochs. Bootstrap intervals of 95 %, of each row and of its difference from "
        "`best`.\n",
        "| Spearman's rho | HT 1-2 | HT 2 | minus `best`, HT 1-2 | minus `best`, HT 2 |\n|---|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        cells = [
            f"{row[t]['spearman']:.4f} ({row[t]['interval_95'][0]:.3f} to {row[t]['interval_95'][1]:.3f})"
            for t in TESTS
        ]
        apart = [p[name, "best", t]["difference_95"] if (name, "best", t) in p else None for t in TESTS]
        cells += ["" if some is None else f"{some[0]:.4f} to {some[1]:.4f}" for some in apart]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n<sub>`{found['command']}`, commit {commit_of(found)}.</sub>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of finished fits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(Data(data_folder("cpf1_activity")), Store(arguments.work))
    write_result(
        "deepcpf1_student", result, data="HT 1-1 to make contexts of, HT 1-2 (1,292), HT 2 (2,963)", seeds=[0]
    )


if __name__ == "__main__":
    main()
