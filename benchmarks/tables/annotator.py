"""The packaged protein annotator on held-out proteins, beside what it has to beat; and its packaging.

    python -m benchmarks.tables.annotator choose assemble evaluate --data DATA --work work/annotator
    python -m benchmarks.tables.annotator package --work work/annotator

The trainings themselves are `benchmarks.tables.annotator_training`. `choose` sets what a helix costs in the decoder
by fold 2 of TMbed, with a network that never saw that fold; every arm is decoded with it. It also says which network
has the best structures on validation proteins. `assemble` puts the packaged model together: encoder, signal and
topology of the arm `shared`, structures of the arm so chosen, with an encoder of its own.

Tests: CB513, TS115 where its file of NetSurfP-2.0 is there (`work/TS115_HHblits.csv`), the test rows of the signal
peptides (first 70 residues), helical membrane proteins of fold 3 of TMbed, and all other proteins of that fold for
what is found where nothing is. Further seeds of an arm (`--seed 1` of the trainings) are scored beside. Every
interval is a bootstrap over proteins (over distinct sequences where rows repeat); differences to the packaged model
are paired.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.special import log_softmax

from benchmarks._results import RESULTS, write_result
from benchmarks.tables.annotator_baselines import (
    hydropathy_membrane,
    hydropathy_proteins,
    linear_residues,
    linear_signal,
    matthews,
)
from benchmarks.tables.annotator_data import Labelled, load_labelled, structure_csv, structure_rows
from benchmarks.tables.annotator_page import annotator_card, page
from benchmarks.tables.annotator_scores import (
    MAIN,
    METRICS,
    Score,
    all_right,
    compared,
    signal_score,
    structure_score,
    topology_score,
)
from benchmarks.tables.annotator_training import ARMS, LABELS, OWN_BLOCKS, VALIDATION_FOLD
from seqformers.hub.load import packaged_model
from seqformers.modeling.protein.configuration_protein_cnn import ProteinCnnConfig
from seqformers.modeling.protein.modeling_protein_cnn import ProteinCnnForAnnotation
from seqformers.proteins.annotator import ProteinAnnotation, ProteinAnnotator
from seqformers.proteins.segments import LETTERS, decode_segments

__all__ = ["evaluate", "main"]

# Networks that could give the structures; the first two share their encoder with the other tasks.
STRUCTURES = (
    "joint", "shared", "scratch-structure", "tuned-structure", "long-structure", "longest-structure",
    "consensus", "consensus-structure", "second", "second-structure",
)  # fmt: skip
_COMMAND = "python -m benchmarks.tables.annotator choose assemble evaluate --data DATA --work work/annotator"
_COSTS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 15, 20, 25, 30, 40)
_GLOBULAR = 400  # proteins of fold 3 that are no membrane proteins, in the order of the file
_VALIDATION = 500  # proteins that choose the network of structures


def _calls(answers: list[ProteinAnnotation], task: str) -> list[np.ndarray]:
    if task == "structure":
        return [answer.structure_probabilities.argmax(1) for answer in answers]
    return [answer.topology_probabilities[:, :3].argmax(1) for answer in answers]


def _calls_and_paths(answers: list[ProteinAnnotation]) -> list[np.ndarray]:
    return [np.r_[calls, path] for calls, path in zip(_calls(answers, "topology"), _paths(answers), strict=True)]


def _paths(answers: list[ProteinAnnotation]) -> list[np.ndarray]:
    return [np.array([LETTERS.index(letter) for letter in answer.topology]) for answer in answers]


def choose_cost(data: Path, work: Path) -> dict[str, Any]:
    """The cost of a helix that makes most proteins of the validation fold right, helical ones and others alike.

    Right is a helical protein with all its segments, and another one without a helix. Kept in `work/helix_cost.json`.
    """
    train, _, _ = load_labelled(data)
    rows = [row for row in train["topology"] if row.fold == VALIDATION_FOLD]
    parts = {
        "helical": [row for row in rows if row.kind == "alpha"],
        "globular": [row for row in rows if row.kind == "globular"][:_GLOBULAR],
    }
    found: dict[str, list[float]] = {}
    for kind, some in parts.items():
        answers = _annotated(work / "validation-topology.0", some, 0.0)
        logs = [np.log(np.maximum(answer.topology_probabilities, 1e-12)) for answer in answers]
        signal = [answer.signal_probability >= 0.5 for answer in answers]
        for cost in _COSTS:
            paths = decode_segments(logs, signal, helix_cost=cost)
            letters = [np.array([LETTERS.index(letter) for letter in path]) for path in paths]
            right = [all_right(p, row) if kind == "helical" else "M" not in path
                     for p, path, row in zip(letters, paths, some, strict=True)]  # fmt: skip
            found.setdefault(kind, []).append(float(np.mean(right)))
    both = np.mean([found["helical"], found["globular"]], axis=0)
    chosen = {"cost": float(_COSTS[int(both.argmax())]), "costs": list(_COSTS), "right": found}
    chosen |= {"proteins": {kind: len(some) for kind, some in parts.items()}, "fold": VALIDATION_FOLD}
    (work / "helix_cost.json").write_text(json.dumps(chosen, indent=1))
    print(json.dumps(chosen), flush=True)
    return chosen


def choose_structure(data: Path, work: Path) -> dict[str, Any]:
    """Q3 of networks that could give the structures, on validation proteins; in `work/structure_choice.json`.

    Networks that stand there already are not measured again.
    """
    rows, seen = structure_rows(data, "valid_netsurfp2"), load_labelled(data)[0]["structure"]
    trained = {row.sequence for row in seen}
    rows = [row for row in rows if row.sequence not in trained][:_VALIDATION]
    path = work / "structure_choice.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    found = dict(before["q3"]) if before.get("proteins") == len(rows) else {}
    trained_arms = [name for name in STRUCTURES if (work / f"{name}.0" / "facts.json").is_file()]
    for arm in (name for name in trained_arms if name not in found):
        calls = _calls(_annotated(work / f"{arm}.0", rows, 0.0), "structure")
        found[arm] = float(structure_score(calls, rows)(np.arange(len(rows)))["q3"])
    chosen = {"arm": max(found, key=found.__getitem__), "q3": found, "proteins": len(rows)}
    path.write_text(json.dumps(chosen, indent=1))
    print(json.dumps(chosen), flush=True)
    return chosen


def assemble(work: Path, seed: int) -> None:
    """The packaged model from its two networks of one seed, under `work/packaged.<seed>`."""
    choice = json.loads((work / "structure_choice.json").read_text())["arm"]
    if choice not in STRUCTURES[2:]:
        raise ValueError(f"structures come from a network of their own; validation proteins are for {choice}")
    shared, structure = (load_file(work / f"{arm}.{seed}" / "model.safetensors") for arm in ("shared", choice))
    config = ProteinCnnConfig(
        topology_dilations=OWN_BLOCKS["topology_dilations"], structure_encoder=True,
        helix_cost=json.loads((work / "helix_cost.json").read_text())["cost"],
    )  # fmt: skip
    weights = {name: value for name, value in shared.items() if not name.startswith("structure_")}
    for name, value in structure.items():
        if name.startswith("protein_cnn."):
            weights[name.replace("protein_cnn.", "structure_encoder.", 1)] = value
        elif name.startswith("structure_head."):
            weights[name] = value
    model = ProteinCnnForAnnotation(config)
    model.load_state_dict(weights)
    model.eval().save_pretrained(work / f"packaged.{seed}")


def _annotated(folder: Path, rows: list[Labelled], cost: float) -> list[ProteinAnnotation]:
    model, answers = ProteinAnnotator(folder), []  # type: tuple[ProteinAnnotator, list[ProteinAnnotation]]
    model.loaded.config.helix_cost = cost
    for start in range(0, len(rows), 256):
        answers += model.annotate([row.sequence for row in rows[start : start + 256]])
    return answers


def _logit(answers: list[ProteinAnnotation]) -> np.ndarray:
    return np.array([answer.signal_probability - 0.5 for answer in answers])


class Kept:
    """Arrays that took time, in a folder: one a row, computed once a name."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, compute: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        """The arrays of this name, or those of `compute`."""
        path = self.folder / f"{name.replace(' ', '-')}.npz"
        if not path.is_file():
            rows = [np.atleast_1d(row) for row in compute()]
            np.savez(path, flat=np.concatenate(rows), lengths=[len(row) for row in rows])
            print(name, flush=True)
        saved = np.load(path)
        return np.split(saved["flat"], np.cumsum(saved["lengths"])[:-1])


def evaluate(data: Path, work: Path) -> dict[str, Any]:
    """Score every arm that has been trained, and the shortcuts; what was computed before is kept under `work`."""
    train, tests, rows = load_labelled(data)
    helical = [row for row in tests["topology"] if row.kind == "alpha"]
    globular = [row for row in tests["topology"] if row.kind == "globular"][:_GLOBULAR]
    tests = tests | {"topology": helical}
    if (further := work / "TS115_HHblits.csv").is_file():
        tests["structure_ts115"] = structure_csv(further)
    kept = Kept(work / "answers")
    tasks_of = {arm: ARMS[arm].tasks for arm in ARMS if not arm.startswith("validation")}
    tasks_of |= {name: ("structure",) for name in LABELS}
    arms = {arm: work / f"{arm}.0" for arm in tasks_of if (work / f"{arm}.0" / "facts.json").is_file()}
    tasks = {"packaged": tuple(MAIN)} | {arm: tasks_of[arm] for arm in arms}
    chosen = json.loads((work / "helix_cost.json").read_text())
    cost = chosen["cost"]
    scores: dict[str, dict[str, Score]] = {test: {} for test in METRICS if test in tests}
    for arm, folder in {"packaged": work / "packaged.0", **arms}.items():
        for test in scores:
            if test.split("_")[0] in tasks[arm]:
                scores[test][arm] = _score_arm(arm, test, folder, tests[test], kept, cost)
    _add_shortcuts(scores, train, tests, kept, cost)
    groups = {test: np.unique([row.sequence for row in tests[test]], return_inverse=True)[1] for test in scores}
    result: dict[str, Any] = {"tests": {}, "data": rows, "seeds": _seeds(tasks, work, tests, kept, cost)}
    for task, group in groups.items():
        facts = {"rows": len(group), "distinct": int(group.max() + 1)}
        result["tests"][task] = facts | {"arms": compared(scores[task], group)}
    result["helix_cost"] = chosen
    result["structure_choice"] = json.loads((work / "structure_choice.json").read_text())
    result["whole_proteins"] = whole_proteins(work / "packaged.0", globular, helical, kept, cost)
    others = [row for row in train["topology"] if row.kind in ("alpha", "globular")]
    called = hydropathy_proteins(others, [*globular, *helical])
    truth = np.array([row.kind == "alpha" for row in [*globular, *helical]])
    result["whole_proteins"]["membrane_protein_mcc_kyte_doolittle"] = matthews(truth, called)
    result["training"] = {arm: _facts(folder) for arm, folder in arms.items()}
    result["pretraining"] = _facts(work / "pretrained")
    result["not_run"] = [arm for arm in tasks_of if arm not in arms]
    result["labels"] = {}
    for name in LABELS:
        if (labels := work / f"{name}.json").is_file():
            facts = {key: value for key, value in json.loads(labels.read_text()).items() if key != "commit"}
            result["labels"][name] = facts | {"training": _facts(work / f"{name}.0")}
    sets = "CB513, TS115, SignalP 5 test rows, fold 3 of TMbed"
    seeds = sorted({int(seed) for arm in result["seeds"].values() for seed in arm["values"]})
    path = write_result("annotator", result, data=sets, seeds=seeds)
    written = json.loads(path.read_text()) | {"command": _COMMAND}
    path.write_text(json.dumps(written, indent=2) + "\n")
    return result


def _facts(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / "facts.json").read_text())
    return {name: value for name, value in facts.items() if name != "commit"}


def _seeds(
    tasks: dict[str, tuple[str, ...]], work: Path, tests: dict[str, Any], kept: Kept, cost: float
) -> dict[str, dict[str, Any]]:
    """The first metric of every test by arm and seed of the training, where there is more than one seed."""
    found: dict[str, dict[str, Any]] = {}
    for arm, own in tasks.items():
        folders = {path.name.removeprefix(f"{arm}."): path for path in sorted(work.glob(f"{arm}.[0-9]"))}
        folders = {seed: path for seed, path in folders.items() if (path / "model.safetensors").is_file()}
        for task in own if len(folders) > 1 else ():
            name, values = MAIN[task], {}
            for seed, folder in folders.items():
                shown = arm if seed == "0" else f"{arm}-seed-{seed}"
                score = _score_arm(shown, task, folder, tests[task], kept, cost)
                values[seed] = score(np.arange(len(tests[task])))[name]
            sd = float(np.std(list(values.values()), ddof=1))
            found[f"{arm}, {task}"] = {
                "metric": name,
                "values": values,
                "mean": float(np.mean([*values.values()])),
                "sd": sd,
            }
    return found


def _score_arm(arm: str, task: str, folder: Path, rows: list[Labelled], kept: Kept, cost: float) -> Score:
    if task.startswith("structure"):
        calls = kept(f"{arm}.{task}", lambda: _calls(_annotated(folder, rows, cost), "structure"))
        return structure_score(calls, rows)
    if task == "signal":
        values = kept(f"{arm}.{task}", lambda: [_logit(_annotated(folder, rows, cost))])
        return signal_score(values[0], rows)
    calls, paths = _halves(kept(f"{arm}.{task}", lambda: _calls_and_paths(_annotated(folder, rows, cost))))
    return topology_score(calls, [call == 2 for call in calls], paths, rows)


def _add_shortcuts(
    scores: dict[str, dict[str, Score]],
    train: dict[str, list[Labelled]],
    tests: dict[str, Any],
    kept: Kept,
    cost: float,
) -> None:
    names = ("one-hot linear", "composition")
    values = kept("shortcuts.signal", lambda: list(linear_signal(train["signal"], tests["signal"]).values()))
    for name, found in zip(names, values, strict=True):
        scores["signal"][name] = signal_score(found, tests["signal"])
    shares = np.bincount(np.concatenate([row.structure[row.structure >= 0] for row in train["structure"]]))
    for test in (name for name in tests if name.startswith("structure")):
        calls = kept(f"shortcuts.{test}", lambda rows=tests[test]: _linear_structure(train["structure"], rows))
        scores[test]["one-hot linear"] = structure_score(calls, tests[test])
        majority = [np.full(len(row.sequence), shares.argmax()) for row in tests[test]]
        scores[test]["majority"] = structure_score(majority, tests[test])
    both = kept("shortcuts.topology", lambda: _linear_topology(train["topology"], tests["topology"], cost))
    calls, paths = _halves(both)
    scores["topology"]["one-hot linear"] = topology_score(calls, [c == 2 for c in calls], paths, tests["topology"])
    alpha = [row for row in train["topology"] if row.kind == "alpha"]
    membrane, _ = hydropathy_membrane(alpha, tests["topology"])
    scores["topology"]["Kyte-Doolittle"] = topology_score(None, membrane, None, tests["topology"])


def _linear_structure(train: list[Labelled], test: list[Labelled]) -> list[np.ndarray]:
    return [values.argmax(1) for values in linear_residues("structure", train, test, 3)]


def _linear_topology(train: list[Labelled], test: list[Labelled], cost: float) -> list[np.ndarray]:
    """Likeliest classes, and the topology under the same grammar as the networks', of each protein."""
    found = [log_softmax(values, axis=1) for values in linear_residues("topology", train, test, 4)]
    paths = decode_segments(found, [False] * len(found), helix_cost=cost)
    letters = [np.array([LETTERS.index(letter) for letter in path]) for path in paths]
    return [np.r_[values[:, :3].argmax(1), path] for values, path in zip(found, letters, strict=True)]


def _halves(both: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs = [np.split(values, 2) for values in both]
    return [first for first, _ in pairs], [second for _, second in pairs]


def whole_proteins(
    folder: Path, globular: list[Labelled], helical: list[Labelled], kept: Kept, cost: float
) -> dict[str, Any]:
    """Fold 3 at full length: signal peptides and where they end, helices where there are none, and the other way."""
    answers = kept("packaged.globular", lambda: [_ends(answer) for answer in _annotated(folder, globular, cost)])
    membrane = kept("packaged.helical", lambda: [_ends(answer) for answer in _annotated(folder, helical, cost)])
    truth = np.array([row.signal == 1 for row in globular])
    found = np.array([end > 0 for end, _ in answers])
    apart = [
        end - int((row.topology == 3).sum())
        for row, (end, _) in zip(globular, answers, strict=True)
        if row.signal and end
    ]
    return {
        "globular_proteins": len(globular),
        "signal_peptides": int(truth.sum()),
        "signal_mcc": matthews(truth, found),
        "signal_ends_within_3": float(np.mean(np.abs(apart) <= 3)),
        "signal_ends_exact": float(np.mean(np.array(apart) == 0)),
        "globular_with_a_helix": float(np.mean([helices > 0 for _, helices in answers])),
        "helical_proteins": len(membrane),
        "helical_without_a_helix": float(np.mean([helices == 0 for _, helices in membrane])),
        "membrane_protein_mcc": matthews(
            np.repeat([False, True], [len(globular), len(helical)]),
            np.array([helices > 0 for _, helices in [*answers, *membrane]]),
        ),
    }


def _ends(answer: ProteinAnnotation) -> np.ndarray:
    return np.array([answer.signal_end or 0, answer.num_membrane])


def package(work: Path, output: Path) -> None:
    """Write the packaged repository: the weights, and a card whose figures come from `results/annotator.json`."""
    from seqformers import ProteinTokenizer
    from seqformers.hub.repository import write_model_repository

    model = ProteinCnnForAnnotation.from_pretrained(work / "packaged.0").eval()
    write_model_repository(output, model, tokenizer=ProteinTokenizer("tape"), card=annotator_card(model))
    for path in [*output.glob("*.py"), output / "vocab.txt"]:
        path.unlink(missing_ok=True)  # the package holds this already; a push writes it again


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["choose", "assemble", "evaluate", "report", "package"])
    parser.add_argument("--data", type=Path, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/annotator"))
    parser.add_argument("--seed", type=int, default=0, help="of the trainings that `assemble` puts together")
    parser.add_argument("--output", type=Path, default=packaged_model("protein_cnn"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if {"choose", "evaluate"} & set(options.actions) and options.data is None:
        parser.error("give --data")
    if "choose" in options.actions:
        choose_cost(options.data, options.work)
        choose_structure(options.data, options.work)
    if "assemble" in options.actions:
        assemble(options.work, options.seed)
    if "evaluate" in options.actions:
        evaluate(options.data, options.work)
    if {"evaluate", "report"} & set(options.actions):
        outcome = json.loads((RESULTS / "annotator.json").read_text())
        (RESULTS / "annotator.md").write_text(page(outcome))
        print(page(outcome))
    if "package" in options.actions:
        package(options.work, options.output)


if __name__ == "__main__":
    main()
