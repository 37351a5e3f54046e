"""Same family or not, on families that no part of the score has seen as families: plain pairs, and matched ones.

    python -m benchmarks.tables.same_family --data DATA --work work/arms      # encode, train, write the result

Proteins with families: those of `benchmarks.tables.protein_arms` (folds of TAPE's remote homology training split, 21
named families), 15 % of the families kept away. Composition and length tell half of it, so beside random pairs stand
matched ones: each pair of one family (a, b) comes with a pair (a, c) of two, c being the stranger that composition and
length find as likely as b. There the shortcut knows nothing, and what is left is what a sequence says beyond it.

The score reads residues of the packaged encoder, frozen: a projection of them is learnt, the two proteins are aligned
softly (cosines of projected residues; weights as of Bepler and Berger 2019), and one layer reads the aligned mean, the
difference and the product of the mean vectors, and (`combined`) composition and length. It is trained on pairs of
the other families, a third of them matched, three seeds. Intervals are of a bootstrap over the families of first
proteins.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks._results import RESULTS, write_result
from benchmarks.tables.annotator_data import encode, load_labelled
from benchmarks.tables.protein_arms_data import hidden_families
from benchmarks.tables.protein_arms_shortcuts import alignment_scores
from benchmarks.tables.proteins_data import families
from benchmarks.tables.proteins_shortcuts import composition
from seqformers.datasets_scripts.pfam.family_pairs import FamilyPairs
from seqformers.hub.load import load_model

__all__ = [
    "PairScore",
    "alignment_weights",
    "area",
    "differences",
    "main",
    "matched_pairs",
    "prepare",
    "soft_alignment",
    "trained_score",
]

SEEDS = (0, 1, 2)
STEPS, ROWS, RATE = 500, 32, 2e-3
LONGEST = 200  # residues of a protein in a training batch, the first ones
SEEN = 5_000  # proteins of the families that are trained on
_RESAMPLES = 1000
_PARTS = ("pooled", "aligned", "combined")
_COMMAND = "python -m benchmarks.tables.same_family --data DATA --work work/arms"


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # first and second proteins, whether they are of one family


class PairScore(nn.Module):
    """Logit of "same family" from the residues of two proteins.

    Args:
        width (`int`): Of the vectors of residues.
        extra (`int`): Numbers of the pair that need no network.
        parts (`str`): What the last layer reads: the means (`pooled`), the alignment (`aligned`), or both and the
            numbers (`combined`).
    """

    def __init__(self, width: int, extra: int, parts: str):
        super().__init__()
        self.parts, size = parts, 32
        self.projection = nn.Linear(width, size)
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.narrow = nn.Linear(width, size)
        pooled, aligned = 2 * size, 2
        inputs = {"pooled": pooled, "aligned": aligned, "combined": pooled + aligned + extra}[parts]
        self.norm, self.output = nn.BatchNorm1d(inputs), nn.Linear(inputs, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, sides: list[tuple[torch.Tensor, torch.Tensor]], extra: torch.Tensor) -> torch.Tensor:
        """Map two times residues (B, L, width) and their mask (B, L), and numbers (B, extra), to (B,)."""
        found = []
        if self.parts != "aligned":
            one, other = (self.narrow(mean_of(x, mask)) for x, mask in sides)
            found += [(one - other).abs(), one * other]
        if self.parts != "pooled":
            z = [(nn.functional.normalize(self.projection(x), dim=-1), mask) for x, mask in sides]
            found.append(soft_alignment(z[0], z[1], self.sharpness))
        if self.parts == "combined":
            found.append(extra)
        return self.output(self.dropout(self.norm(torch.cat(found, -1))))[:, 0]


def mean_of(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean (B, width) of the residues."""
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def soft_alignment(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor], sharpness: torch.Tensor
) -> torch.Tensor:
    """Mean cosine of softly aligned residues, and the largest one of each averaged, (B, 2).

    Residues are `(B, L, size)` of length 1 and their mask `(B, L)`.
    """
    likeness, weights, real = alignment_weights(one, other, sharpness)
    mean = (weights * likeness).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-6)
    best = likeness.masked_fill(~real, -1.0)
    tops = [mean_of(best.amax(2)[..., None], one[1]), mean_of(best.amax(1)[..., None], other[1])]
    return torch.stack([mean, (tops[0] + tops[1])[:, 0] / 2], 1)


def alignment_weights(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor], sharpness: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cosines of all pairs of residues, how much each counts, and which are real, each (B, L, L').

    A pair of residues counts by a + b - ab, a and b being its shares of the softmax of its row and of its column.
    """
    likeness = one[0] @ other[0].transpose(1, 2)
    real = one[1][:, :, None] * other[1][:, None, :] > 0
    scaled = (sharpness * likeness).masked_fill(~real, -1e4)
    a, b = scaled.softmax(2), scaled.softmax(1)
    return likeness, (a + b - a * b) * real, real


def differences(plain: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of composition and log length, `(pairs, 22)`."""
    return np.abs(plain[first] - plain[second])


def matched_pairs(
    first: np.ndarray, second: np.ndarray, names: np.ndarray, plain: np.ndarray, shortcut: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one family, and for each one a pair of two families that the shortcut finds as likely.

    Args:
        first (`(pairs,)`): First proteins of pairs of one family.
        second (`(pairs,)`): Second ones.
        names (`(proteins,)`): Families.
        plain (`(proteins, 22)`): Composition and log length.
        shortcut: Classifier of `differences`.

    Returns:
        `tuple`: first and second proteins of twice as many pairs, and whether they are of one family. No pair of two
        families occurs twice.
    """
    wanted, used, strangers = shortcut.decision_function(differences(plain, first, second)), set(), []
    everyone = np.arange(len(names))
    for one, score in zip(first, wanted, strict=True):
        apart = np.abs(shortcut.decision_function(differences(plain, np.full(len(names), one), everyone)) - score)
        apart[names == names[one]] = np.inf
        order = np.argsort(apart)
        chosen = next(other for other in order if (min(one, other), max(one, other)) not in used)
        used.add((min(one, chosen), max(one, chosen)))
        strangers.append(chosen)
    same = np.r_[np.ones(len(first), bool), np.zeros(len(first), bool)]
    return np.r_[first, first], np.r_[second, np.array(strangers, int)], same


class Proteins:
    """Proteins with families, their frozen residues, and what needs no network."""

    def __init__(self, table: pd.DataFrame, residues: list[np.ndarray]):
        self.sequences, self.names = table["sequence"].tolist(), table["family"].to_numpy()
        self.plain, self.residues = composition(self.sequences), residues

    def batch(self, rows: np.ndarray, longest: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Residues `(rows, length, width)` and mask of some proteins."""
        some = [self.residues[row][:longest] for row in rows]
        x = np.zeros((len(rows), max(map(len, some)), some[0].shape[1]), np.float32)
        mask = np.zeros(x.shape[:2], np.float32)
        for place, values in enumerate(some):
            x[place, : len(values)], mask[place, : len(values)] = values, 1
        return torch.from_numpy(x), torch.from_numpy(mask)


def prepare(
    data: Path, work: Path, *, encode_too: bool = True
) -> tuple[Proteins, Proteins, Pairs, dict[str, Pairs], dict[str, Any]]:
    """Proteins of families that are trained on, and of those that are not; pairs of both; scores without a network.

    All of it is made once and kept under `work`; without `encode_too` the residues stay on disk.
    """
    path = work / "same_family.prepared.npz"
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        np.savez(work / "part.npz", **_prepared(data))
        (work / "part.npz").replace(path)
    kept = np.load(path)
    sides = []
    for part in ("seen", "unseen"):
        table = pd.DataFrame({"sequence": kept[f"{part}.sequence"].tolist(), "family": kept[f"{part}.family"]})
        ends = np.cumsum(kept[f"{part}.length"])[:-1]
        sides.append(Proteins(table, np.split(kept[f"{part}.residues"], ends) if encode_too else []))
    tests: dict[str, Pairs] = {name: _pairs(kept[f"pairs.{name}"]) for name in ("random", "matched")}
    scores: dict[str, Any] = {
        name: {"composition and length": [kept[f"plain.{name}"]], "Needleman-Wunsch": [kept[f"aligned.{name}"]]}
        for name in tests
    }
    return sides[0], sides[1], _pairs(kept["pairs.train"]), tests, scores


def _pairs(rows: np.ndarray) -> Pairs:
    return rows[0].astype(int), rows[1].astype(int), rows[2].astype(bool)


def _prepared(data: Path) -> dict[str, np.ndarray]:
    kept: dict[str, Any] = {}
    sides = []
    for part, table in _tables(data).items():
        vectors = encoded(table["sequence"].tolist())
        kept[f"{part}.sequence"], kept[f"{part}.family"] = (table[c].to_numpy(str) for c in ("sequence", "family"))
        kept[f"{part}.residues"], kept[f"{part}.length"] = np.concatenate(vectors), [len(v) for v in vectors]
        sides.append(Proteins(table, vectors))
    seen, unseen = sides
    first, second, same = FamilyPairs(seen.names, seed=0).draw(0)
    shortcut = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    shortcut.fit(differences(seen.plain, first, second), same)
    kept["pairs.train"] = np.stack(training_pairs(seen, shortcut))
    one, other, truth = FamilyPairs(unseen.names, seed=1).draw(0)
    tests = {
        "random": (one, other, truth),
        "matched": matched_pairs(one[truth], other[truth], unseen.names, unseen.plain, shortcut),
    }
    for name, (a, b, related) in tests.items():
        kept[f"pairs.{name}"] = np.stack([a, b, related])
        kept[f"plain.{name}"] = shortcut.decision_function(differences(unseen.plain, a, b))
        kept[f"aligned.{name}"] = alignment_scores(*([unseen.sequences[i] for i in side] for side in (a, b)))
    return kept


def _tables(data: Path) -> dict[str, pd.DataFrame]:
    """Sequences and families, by whether the families are trained on."""
    _, tests, _ = load_labelled(data)
    tested = {row.sequence for some in tests.values() for row in some}
    tested |= set(pd.read_parquet(data / "remote_homology/test.parquet")["sequence"])
    rows = families(data, tested)
    table = pd.DataFrame({"sequence": rows["sequence"][:], "family": rows["family"][:]})
    hidden = table["family"].isin(hidden_families(table["family"], np.random.default_rng(0)))
    sizes = table["family"].map(table["family"].value_counts())
    seen = table[~hidden & (sizes > 1)]
    return {"seen": seen.sample(min(SEEN, len(seen)), random_state=0), "unseen": table[hidden]}


@torch.inference_mode()
def encoded(sequences: list[str]) -> list[np.ndarray]:
    """Residues `(length, width)` float16 by both encoders of the packaged annotator."""
    model = load_model("protein_cnn", None, family="protein_cnn").model
    ids = [encode(sequence) for sequence in sequences]
    found: list[np.ndarray] = [np.zeros(0)] * len(ids)
    order = np.argsort([len(row) for row in ids])
    for start in range(0, len(ids), 64):
        rows = order[start : start + 64]
        tokens = np.zeros((len(rows), max(len(ids[row]) for row in rows)), np.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(ids[row])] = ids[row]
        batch = torch.from_numpy(tokens)
        encoders = [model.protein_cnn, model.structure_encoder]
        states = [e(batch, (batch != 0).long()).last_hidden_state for e in encoders if e is not None]
        vectors = torch.cat(states, -1).half().numpy()
        for place, row in enumerate(rows):
            found[row] = vectors[place, 1 : len(ids[row]) - 1]
    return found


def training_pairs(seen: Proteins, shortcut: Any) -> Pairs:
    """Random pairs of two epochs and, once, matched ones."""
    drawn = [FamilyPairs(seen.names, seed=0).draw(epoch) for epoch in range(2)]
    first, second, same = (np.concatenate(part) for part in zip(*drawn, strict=True))
    some = np.flatnonzero(same)[:2_000]
    matched = matched_pairs(first[some], second[some], seen.names, seen.plain, shortcut)
    return tuple(np.concatenate(both) for both in zip((first, second, same), matched, strict=True))  # type: ignore


def train(seen: Proteins, pairs: Pairs, parts: str, seed: int) -> Any:
    """A score, and the standardisation of its plain numbers."""
    first, second, same = pairs
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = PairScore(seen.residues[0].shape[1], seen.plain.shape[1], parts)
    scaler = StandardScaler().fit(differences(seen.plain, first, second))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        rows = rng.integers(0, len(first), ROWS)
        sides = [seen.batch(side[rows], LONGEST) for side in (first, second)]
        extra = torch.from_numpy(scaler.transform(differences(seen.plain, first[rows], second[rows]))).float()
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(sides, extra), torch.from_numpy(same[rows].astype(np.float32))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval(), scaler


def trained_score(work: Path, seen: Proteins, pairs: Pairs, parts: str, seed: int) -> Any:
    """As `train`; the weights are kept under `work`."""
    path = work / f"same_family.{parts}.{seed}.safetensors"
    if not path.is_file():
        save_file(train(seen, pairs, parts, seed)[0].state_dict(), path)
    model = PairScore(seen.residues[0].shape[1], seen.plain.shape[1], parts)
    model.load_state_dict(load_file(path))
    return model.eval(), StandardScaler().fit(differences(seen.plain, *pairs[:2]))


@torch.inference_mode()
def scored(trained: Any, some: Proteins, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Logits of pairs."""
    model, scaler = trained
    found = []
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        sides = [some.batch(side[rows], None) for side in (first, second)]
        extra = torch.from_numpy(scaler.transform(differences(some.plain, first[rows], second[rows]))).float()
        found.append(model(sides, extra).numpy())
    return np.concatenate(found)


def area(truth: np.ndarray, values: np.ndarray) -> float:
    """Area under the ROC curve, by ranks."""
    ranks, positive = rankdata(values), int(truth.sum())
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))


def judged(scores: dict[str, list[np.ndarray]], truth: np.ndarray, groups: np.ndarray, plain: str) -> dict[str, Any]:
    """AUROC of each score, mean of its seeds, with 95 % of a bootstrap over families, and its lead over `plain`."""
    rng, members = np.random.default_rng(0), [np.flatnonzero(groups == name) for name in np.unique(groups)]
    draws = [np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
             for _ in range(_RESAMPLES)]  # fmt: skip
    draws = [rows for rows in draws if 0 < truth[rows].sum() < len(rows)]

    def areas(values: list[np.ndarray], rows: np.ndarray) -> list[float]:
        return [area(truth[rows], one[rows]) for one in values]

    again = {name: np.array([np.mean(areas(values, rows)) for rows in draws]) for name, values in scores.items()}
    table = {}
    for name, values in scores.items():
        every = areas(values, np.arange(len(truth)))
        lead = again[name] - again[plain]
        table[name] = {
            "auroc": float(np.mean(every)), "seeds": every,
            "interval": np.quantile(again[name], [0.025, 0.975]).tolist(),
            "lead": float(np.mean(every) - np.mean(areas(scores[plain], np.arange(len(truth))))),
            "lead_interval": np.quantile(lead, [0.025, 0.975]).tolist(),
        }  # fmt: skip
    return table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/arms"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--collect", action="store_true", help="train nothing, write what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seen, unseen, pairs, tests, scores = prepare(options.data, options.work, encode_too=not options.collect)
    for parts in _PARTS:
        for seed in options.seeds:
            path = options.work / f"same_family.{parts}.{seed}.json"
            if not path.is_file() and options.collect:
                continue
            if not path.is_file():
                trained = trained_score(options.work, seen, pairs, parts, seed)
                kept = {test: scored(trained, unseen, a, b).tolist() for test, (a, b, _) in tests.items()}
                path.write_text(json.dumps(kept))
                print(parts, seed, {t: round(roc_auc_score(tests[t][2], v), 3) for t, v in kept.items()}, flush=True)
            for test, values in json.loads(path.read_text()).items():
                scores[test].setdefault(f"network, {parts}", []).append(np.array(values))
    counts: dict[str, Any] = defaultdict(dict)
    for test, (a, _, same_family) in tests.items():
        counts[test] = {"pairs": len(a), "families": len(np.unique(unseen.names[a]))}
        counts[test]["scores"] = judged(scores[test], same_family, unseen.names[a], "composition and length")
    counts |= {"steps": STEPS, "rows": ROWS, "trained_pairs": len(pairs[0]), "proteins": len(seen.sequences)}
    path = write_result("same_family", dict(counts), data="TAPE remote homology, 21 families", seeds=options.seeds)
    outcome = json.loads(path.read_text()) | {"command": _COMMAND}
    path.write_text(json.dumps(outcome, indent=2) + "\n")
    (RESULTS / "same_family.md").write_text(page(outcome))


def page(outcome: dict[str, Any]) -> str:
    """The result as a page."""
    result = outcome["result"]
    lines = [
        "# Same family or not, on families that were not trained on", "", f"`{outcome['command']}`, commit "
        f"{outcome['commit']}. AUROC (95 % of a bootstrap over families; networks: mean of the seeds), "
        "and the paired lead over composition and length. Matched: to each pair of one family a pair of two "
        "that composition and length find as likely.", "",
    ]  # fmt: skip
    for test in ("random", "matched"):
        found = result[test]
        lines += [f"## {test.capitalize()} pairs: {found['pairs']:,} of {found['families']} families", ""]
        lines += ["| score | AUROC | lead over composition and length |", "|---|---|---|"]
        for name, row in found["scores"].items():
            low, high = row["interval"]
            lead = "-" if name == "composition and length" else "{:+.3f} ({:+.3f} to {:+.3f})".format(
                row["lead"], *row["lead_interval"]
            )  # fmt: skip
            seeds = f" ({len(row['seeds'])} seeds)" if name.startswith("network") else ""
            lines.append(f"| {name}{seeds} | {row['auroc']:.3f} ({low:.3f} to {high:.3f}) | {lead} |")
        lines.append("")
    drawn = RESULTS / "soft_alignment.json"
    return (
        "\n".join([*lines, *(_of_picture(json.loads(drawn.read_text())) if drawn.is_file() else [])]).rstrip() + "\n"
    )


def _of_picture(outcome: dict[str, Any]) -> list[str]:
    """What `same_family_figure` measured, and its picture."""
    found = outcome["result"]
    said = (
        "{maps} pairs of {name} {weight_near_the_path:.3f} ({near_the_path_if_all_alike:.3f} were all weights alike)"
    )
    shares = [said.format(name=name.replace("_", " "), **found[name]) for name in ("one_family", "two_families")]
    return [
        "## Soft alignment and Needleman-Wunsch", "",
        f"`{outcome['command']}`, commit {outcome['commit']}. Spearman of the two scores "
        f"{found['spearman_of_the_two']:.3f}; within two residues of the path of Needleman-Wunsch lie, "
        f"of {', of '.join(shares)}.", "",
        "![scores and weights of soft alignment beside Needleman-Wunsch](../../docs/pictures/soft_alignment.png)",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
