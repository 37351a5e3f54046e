"""Protein tasks at small size: does pretraining on families help, and what do shortcuts get on the same rows?

    python -m benchmarks.tables.proteins --data DATA --work work/proteins            # run or go on
    python -m benchmarks.tables.proteins --work work/proteins --collect              # write results/proteins.json

One cell is one (task, arm, seed); each finished cell is one JSON file under `--work`, so a killed run goes on where it
stopped. Every arm of a seed sees the same training rows, drawn with that seed; test rows are the same in all cells.

Arms: `plus_rnn` (masked residues + same-family prediction), `mlm_only`, `scratch` (the same network, untrained),
`plus_tfm` (a small PLUS-TFM, pretrained as plus_rnn, on fewer tokens), and the shortcuts `one_hot_linear`,
`composition` and `majority`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ARMS", "TASKS", "Task", "collect", "main", "run"]

RESULTS = Path(__file__).resolve().parent.parent / "results" / "proteins.json"
ARMS = ("majority", "composition", "one_hot_linear", "scratch", "mlm_only", "plus_rnn", "plus_tfm")
RNN = {"hidden_size": 64, "num_hidden_layers": 2, "projection_size": 32, "classifier_hidden_size": 128}
TFM = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
PRETRAINING = {  # steps of so many pairs, each of up to 2 x 300 residues
    "plus_rnn": {"steps": 350, "pairs": 32, "learning_rate": 2e-3, "sfp": True},
    "mlm_only": {"steps": 350, "pairs": 32, "learning_rate": 2e-3, "sfp": False},
    "plus_tfm": {"steps": 150, "pairs": 16, "learning_rate": 1e-3, "sfp": True},
}


@dataclass(frozen=True)
class Task:
    """One downstream task and how much of it is used.

    Args:
        dataset, config: Name and configuration for `seqformers.load_dataset`.
        train, test: Splits used.
        kind: `classes`, `value` or `residues`.
        metric: The figure of the table.
        rows: Training rows drawn for each seed; fewer when the split is smaller.
        test_rows: Test rows, drawn once with seed 0.
        length: Longest training sequence; longer ones are cut at the end (`residues` tasks test at full length).
        epochs: Passes over the training rows.
        options: Options of the builder.
        published: Figures of the papers, full data and large pretraining, for orientation.
    """

    dataset: str
    config: str
    train: str
    test: str
    kind: str
    metric: str
    rows: int
    test_rows: int
    length: int
    epochs: int
    options: tuple[tuple[str, Any], ...] = ()
    published: tuple[tuple[str, float], ...] = ()
    differs: str = ""


_PLUS = "PLUS-RNN base (14.7 M Pfam sequences)"
TASKS: dict[str, Task] = {
    "signal_peptide": Task(
        "plus_tasks", "signal_peptide", "train", "test", "classes", "mcc", 3000, 2000, 70, 3,
        differs="No published figure of PLUS or TAPE; data of SignalP 5 as ProteinBERT stores them.",
    ),
    "stability": Task(
        "tape", "stability", "train", "test", "value", "spearman", 4000, 5000, 60, 3,
        options=(("drop_test_duplicates", True),),
        published=((_PLUS, 0.77), ("TAPE transformer", 0.73), ("TAPE one-hot", 0.19)),
        differs="4,000 of 53,614 training rows; 5,000 of 12,851 test rows; 26 sequences shared with test left out.",
    ),
    "transmembrane": Task(
        "plus_tasks", "transmembrane", "train", "test", "residues", "residue_accuracy", 239, 118, 500, 5,
        published=((_PLUS + ", proteins all right", 0.89),),
        differs="TMbed's helical proteins (folds 0-1 train, fold 3 test), not the TOPCONS2 set of the papers.",
    ),
    "secondary_structure": Task(
        "tape", "secondary_structure", "train", "cb513", "residues", "q3", 800, 513, 300, 3,
        published=((_PLUS, 0.75), ("TAPE transformer", 0.73), ("TAPE one-hot", 0.69)),
        differs="800 of 9,712 training proteins, cut at 300 residues; all 513 rows of CB513, unresolved left out.",
    ),
    "solubility": Task(
        "plus_tasks", "solubility", "train", "test", "classes", "accuracy", 1500, 1513, 250, 2,
        published=((_PLUS, 0.70),),
        differs="Trained on 1,500 proteins of DeepSol's pool (62,478), tested on Chang's 1,513; first 250 "
        "residues.",
    ),
    "remote_homology": Task(
        "tape", "remote_homology", "train", "test_fold_holdout", "classes", "accuracy", 3000, 718, 200, 2,
        published=(("TAPE transformer", 0.21), ("TAPE LSTM", 0.26), ("TAPE one-hot", 0.09)),
        differs="3,000 of 12,312 training domains; whole fold holdout; first 200 residues.",
    ),
    "localization": Task(
        "plus_tasks", "localization", "validation", "test", "classes", "accuracy", 1678, 1500, 200, 2,
        options=(("max_length", 200),),
        published=((_PLUS, 0.69),),
        differs="Trained on the 1,678 proteins of one validation split (the 9,503 of the paper were not available); "
        "first and last 100 residues instead of 500; 1,500 of 2,768 test proteins.",
    ),
    "fluorescence": Task(
        "tape", "fluorescence", "train", "test", "value", "spearman", 1000, 3000, 237, 3,
        published=((_PLUS, 0.67), ("TAPE transformer", 0.68), ("TAPE one-hot", 0.14)),
        differs="1,000 of 21,446 training genotypes; 3,000 of 27,217 test genotypes.",
    ),
}  # fmt: skip
SEEDS = (0, 1, 2)


# Data


def load(task: Task, data: Path, split: str) -> Any:
    """One split as a `datasets.Dataset`."""
    import datasets

    from seqformers.data import load_dataset

    datasets.disable_progress_bars()
    return load_dataset(task.dataset, name=task.config, data_dir=data, split=split, **dict(task.options))


def rows_of(task: Task, data: Path, seed: int) -> tuple[list[str], list[Any], list[str], list[Any]]:
    """Training sequences and labels of this seed, test sequences and labels of every seed."""
    train, test = load(task, data, task.train), load(task, data, task.test)
    column = "labels" if task.kind == "residues" else "label"
    chosen = np.random.default_rng(seed).permutation(len(train))[: task.rows]
    held = np.sort(np.random.default_rng(0).permutation(len(test))[: task.test_rows])
    train, test = train.select(chosen), test.select(held)
    sequences = [sequence[: task.length] for sequence in train["sequence"]]
    labels = [label[: task.length] if task.kind == "residues" else label for label in train[column]]
    tested = list(test["sequence"])
    if task.kind != "residues":
        tested = [sequence[: task.length] for sequence in tested]
    return sequences, labels, tested, list(test[column])


def families(data: Path, held_out: set[str]) -> Any:
    """Sequences with family labels for pretraining: fold labels of the homology training split, and 21 families."""
    import datasets

    from seqformers.data import load_dataset

    datasets.disable_progress_bars()
    folds = load_dataset("tape", name="remote_homology", data_dir=data, split="train")
    named = load_dataset("pfam", name="sequences", data_dir=data / "protein_families", split="train")
    rows = [
        *zip(folds["sequence"], (f"fold {fold}" for fold in folds["label"]), strict=True),
        *zip(named["sequence"], named["family"], strict=True),
    ]
    kept = {sequence: family for sequence, family in rows if 20 <= len(sequence) <= 300 and sequence not in held_out}
    print(f"pretraining on {len(kept)} of {len(rows)} sequences (repeats, tested ones and lengths out)", flush=True)
    return datasets.Dataset.from_dict({"sequence": list(kept), "family": list(kept.values())})


# Encoding and masking

_LETTERS = "ARNDCQEGHILKMFPSTWYV"


def _table() -> np.ndarray:
    """Byte -> id of PLUS' alphabet."""
    table = np.full(256, 21, dtype=np.int64)
    for number, letter in enumerate(_LETTERS, 1):
        table[ord(letter)] = number
    table[ord("O")], table[ord("U")] = 12, 5
    return table


_IDS = _table()


def encode(sequence: str, arm: str) -> np.ndarray:
    """Ids of one protein between its end tokens."""
    start, end = (23, 24) if arm == "plus_tfm" else (0, 0)
    return np.concatenate([[start], _IDS[np.frombuffer(sequence.encode(), np.uint8)], [end]])


def pad(rows: Sequence[np.ndarray], fill: int) -> Any:
    """Rows of unequal length -> `(rows, longest)` tensor."""
    import torch

    return torch.nn.utils.rnn.pad_sequence(
        [torch.as_tensor(row, dtype=torch.long) for row in rows], batch_first=True, padding_value=fill
    )


class PairMasks:
    """Collate pairs for pretraining: 15 % of each protein's residues chosen; 80 % hidden, 10 % replaced, 10 % kept."""

    def __init__(self, arm: str, sfp: bool, seed: int):
        self.arm, self.sfp, self.rng = arm, sfp, np.random.default_rng(seed)
        self.mask = 22 if arm == "plus_tfm" else 21

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        first = [encode(row["sequence_a"], self.arm) for row in rows]
        second = [encode(row["sequence_b"], self.arm)[1 if self.arm == "plus_tfm" else 0 :] for row in rows]
        ids = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
        kinds = [np.repeat([0, 1], [len(a), len(b)]) for a, b in zip(first, second, strict=True)]
        tokens, types = pad(ids, 0).numpy(), pad(kinds, 0)
        present = pad([np.ones(len(row)) for row in ids], 0)
        masked, labels = self._masked(tokens)
        batch = {"input_ids": torch.from_numpy(masked), "attention_mask": present, "token_type_ids": types}
        batch["labels"] = torch.from_numpy(labels)
        if self.sfp:
            batch["same_family"] = torch.tensor([row["same_family"] for row in rows])
        return batch

    def _masked(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        residue = (tokens >= 1) & (tokens <= 20)
        chosen = residue & (self.rng.random(tokens.shape) < 0.15)
        action = self.rng.random(tokens.shape)
        random = self.rng.integers(1, 21, tokens.shape)
        masked = np.where(chosen & (action < 0.8), self.mask, tokens)
        masked = np.where(chosen & (action >= 0.8) & (action < 0.9), random, masked)
        return masked, np.where(chosen, tokens, -100)


# Networks


def network(arm: str, head: str, **config: Any) -> Any:
    """A fresh network of an arm with the head `ForPreTraining`, `ForSequenceClassification`, ..."""
    import seqformers

    if arm == "plus_tfm":
        return getattr(seqformers, f"ProteinBert{head}")(
            seqformers.ProteinBertConfig.plus_tfm(**{**TFM, "max_position_embeddings": 1024, **config})
        )
    return getattr(seqformers, f"PlusRnn{head}")(seqformers.PlusRnnConfig(**{**RNN, **config}))


def arguments(folder: Path, seed: int, batch: int, learning_rate: float, **more: Any) -> Any:
    """`TrainingArguments` that write nothing but the end."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder), seed=seed, per_device_train_batch_size=batch, learning_rate=learning_rate,
        warmup_steps=0.1, lr_scheduler_type="linear", max_grad_norm=1.0, weight_decay=0.0, save_strategy="no",
        report_to="none", use_cpu=True, disable_tqdm=True, remove_unused_columns=False, dataloader_num_workers=0,
        dataloader_pin_memory=False, logging_steps=50, **more,
    )  # fmt: skip


def pretrain(arm: str, data: Path, work: Path, held_out: set[str]) -> dict[str, Any]:
    """Pretrain one arm with the stock Trainer; the run stays under `work/pretrained/<arm>`."""
    from seqformers.datasets_scripts.pfam.family_pairs import stream_pairs
    from transformers import Trainer, set_seed

    plan = PRETRAINING[arm]
    rows = families(data, held_out)
    split = rows.train_test_split(test_size=400, seed=0)
    set_seed(0)
    model = network(arm, "ForPreTraining")
    begin = time.time()
    trainer = Trainer(
        model=model,
        args=arguments(work, 0, plan["pairs"], plan["learning_rate"], max_steps=plan["steps"]),
        train_dataset=stream_pairs(split["train"], seed=0),
        data_collator=PairMasks(arm, plan["sfp"], seed=0),
    )
    trainer.train()
    seconds = time.time() - begin
    folder = work / "pretrained" / arm
    model.save_pretrained(folder)
    facts = {"arm": arm, "seconds": round(seconds), **plan, "sequences": len(split["train"])}
    facts |= {"parameters": sum(p.numel() for p in model.parameters()), "tokens": _tokens_seen(split["train"], plan)}
    facts |= _held_out_scores(model, arm, list(stream_pairs(split["test"], seed=1, epochs=4)))
    facts["log"] = [entry for entry in trainer.state.log_history if "loss" in entry][-3:]
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps({key: value for key, value in facts.items() if key != "log"}), flush=True)
    return facts


def _tokens_seen(rows: Any, plan: dict[str, Any]) -> int:
    mean = float(np.mean([len(sequence) for sequence in rows["sequence"]]))
    return round(plan["steps"] * plan["pairs"] * 2 * mean)


def _held_out_scores(model: Any, arm: str, pairs: list[dict[str, Any]]) -> dict[str, float]:
    """Masked-residue accuracy and same-family accuracy on held-out pairs, beside shortcuts on the same pairs."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    model.eval()
    right = total = 0
    similar: list[np.ndarray] = []
    collate = PairMasks(arm, False, seed=1)
    with torch.no_grad():
        for begin in range(0, len(pairs), 64):
            batch = collate(pairs[begin : begin + 64])
            output = model(**batch)
            known = batch["labels"] != -100
            right += int((output.prediction_logits.argmax(-1) == batch["labels"])[known].sum())
            total += int(known.sum())
            logits = output.similarity_logits
            similar.append((logits if logits.ndim == 1 else logits[:, 1] - logits[:, 0]).numpy())
    truth = np.array([pair["same_family"] for pair in pairs])
    common = max(np.bincount(np.concatenate([_IDS[np.frombuffer(p["sequence_a"].encode(), np.uint8)] for p in pairs])))
    letters = sum(len(pair["sequence_a"]) for pair in pairs)
    sides = [composition([pair[f"sequence_{side}"] for pair in pairs]) for side in "ab"]
    guess = cross_val_predict(LogisticRegression(max_iter=500), np.abs(sides[0] - sides[1]) * 10, truth, cv=5)
    return {
        "masked_accuracy": right / total,
        "masked_accuracy_most_common_residue": common / letters,
        "same_family_accuracy": float(((np.concatenate(similar) > 0) == truth).mean()),
        "same_family_accuracy_composition_and_length": float((guess == truth).mean()),
    }


def fine_tune(arm: str, task: Task, data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Fine-tune one arm on one task with the stock Trainer and score the test rows."""
    from transformers import Trainer, set_seed

    sequences, labels, tested, truth = rows_of(task, data, seed)
    head = "ForTokenClassification" if task.kind == "residues" else "ForSequenceClassification"
    set_seed(seed)
    shift, scale = (float(np.mean(labels)), float(np.std(labels))) if task.kind == "value" else (0.0, 1.0)
    model = network(arm, head, **_outputs(task, labels, truth))
    if arm != "scratch":
        _load_encoder(model, work / "pretrained" / arm)
    rows = [
        {"ids": encode(sequence, arm), "labels": (label - shift) / scale if task.kind == "value" else label}
        for sequence, label in zip(sequences, labels, strict=True)
    ]
    learning_rate = 1e-3 if arm == "plus_tfm" else 2e-3
    begin = time.time()
    trainer = Trainer(
        model=model,
        args=arguments(work, seed, 32, learning_rate, num_train_epochs=task.epochs),
        train_dataset=rows,
        data_collator=lambda chunk: _batch(chunk, task.kind),
    )
    trainer.train()
    outputs = predict(model, arm, tested, task.kind)
    return {
        "metrics": score(task, outputs, truth),
        "seconds": round(time.time() - begin, 1),
        "train_loss": trainer.state.log_history[-1].get("train_loss"),
    }


def _outputs(task: Task, labels: list[Any], truth: list[Any]) -> dict[str, Any]:
    if task.kind == "value":
        return {"num_labels": 1, "problem_type": "regression"}
    flat = np.concatenate([*labels, *truth]) if task.kind == "residues" else np.array([*labels, *truth])
    return {"num_labels": int(flat.max()) + 1}


def _load_encoder(model: Any, folder: Path) -> None:
    """Copy the pretrained encoder; every one of its tensors must be there."""
    from safetensors.torch import load_file

    prefix = model.base_model_prefix + "."
    stored = {key: value for key, value in load_file(folder / "model.safetensors").items() if key.startswith(prefix)}
    wanted = {key for key in model.state_dict() if key.startswith(prefix) and "projection" not in key}
    wanted = {key for key in wanted if "pooler" not in key}
    absent = wanted - set(stored)
    assert not absent, f"not in the pretrained weights: {sorted(absent)}"
    model.load_state_dict({key: value for key, value in stored.items() if key in model.state_dict()}, strict=False)


def _batch(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    import torch

    batch = {"input_ids": pad([row["ids"] for row in rows], 0)}
    batch["attention_mask"] = pad([np.ones(len(row["ids"])) for row in rows], 0)
    if kind == "residues":
        batch["labels"] = pad([np.r_[-100, row["labels"], -100] for row in rows], -100)
    else:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
        if kind == "value":
            batch["labels"] = batch["labels"].float()
    return batch


def predict(model: Any, arm: str, sequences: Sequence[str], kind: str) -> list[np.ndarray]:
    """Logits of each sequence, `(classes,)` or `(residues, classes)`, in order."""
    import torch

    model.eval()
    order = np.argsort([len(sequence) for sequence in sequences])
    outputs: list[Any] = [None] * len(sequences)
    with torch.no_grad():
        for begin in range(0, len(order), 64):
            chunk = order[begin : begin + 64]
            ids = [encode(sequences[i], arm) for i in chunk]
            mask = pad([np.ones(len(row)) for row in ids], 0)
            logits = model(input_ids=pad(ids, 0), attention_mask=mask).logits.numpy()
            for place, i in enumerate(chunk):
                outputs[i] = logits[place, 1 : len(ids[place]) - 1] if kind == "residues" else logits[place]
    return outputs


def score(task: Task, outputs: list[np.ndarray], truth: list[Any]) -> dict[str, float]:
    """Metrics of a task from logits."""
    from scipy.special import log_softmax
    from sklearn.metrics import matthews_corrcoef

    from seqformers.metrics_protein import masked_accuracy, regression_metrics, secondary_structure_metrics
    from seqformers.transmembrane import topology_metrics

    if task.kind == "value":
        return regression_metrics(np.concatenate(outputs), truth)
    if task.config == "secondary_structure":
        return secondary_structure_metrics(outputs, truth)
    if task.config == "transmembrane":
        return topology_metrics([log_softmax(output, axis=1) for output in outputs], truth)
    guess = np.stack(outputs).argmax(axis=1)
    return {"accuracy": masked_accuracy(guess, truth), "mcc": float(matthews_corrcoef(truth, guess))}


# Shortcuts


def shortcut(arm: str, task: Task, data: Path, seed: int) -> dict[str, Any]:
    """Fit a shortcut on the same training rows and score it on the same test rows."""
    sequences, labels, tested, truth = rows_of(task, data, seed)
    begin = time.time()
    if task.kind == "residues":
        outputs = _residue_shortcut(arm, sequences, labels, tested)
    else:
        outputs = _protein_shortcut(arm, task, sequences, labels, tested)
    return {"metrics": score(task, outputs, truth), "seconds": round(time.time() - begin, 1)}


def composition(sequences: Sequence[str]) -> np.ndarray:
    """Share of each residue and the logarithm of the length, `(sequences, 22)`."""
    ids = [_IDS[np.frombuffer(sequence.encode(), np.uint8)] for sequence in sequences]
    shares = [np.bincount(row, minlength=22)[1:] / len(row) for row in ids]
    return np.column_stack([np.stack(shares), np.log([len(row) for row in ids])])


def _one_hot(sequences: Sequence[str], length: int) -> Any:
    """Residue at each of the first `length` positions, `(sequences, length * 21)` sparse."""
    from scipy.sparse import csr_matrix

    columns = [
        _IDS[np.frombuffer(s[:length].encode(), np.uint8)] - 1 + 21 * np.arange(min(len(s), length)) for s in sequences
    ]
    counts = [len(column) for column in columns]
    places = np.concatenate(columns)
    return csr_matrix(
        (np.ones(len(places), np.float32), (np.repeat(np.arange(len(sequences)), counts), places)),
        shape=(len(sequences), 21 * length),
    )


def _protein_shortcut(
    arm: str, task: Task, sequences: list[str], labels: list[Any], tested: list[str]
) -> list[np.ndarray]:
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.preprocessing import StandardScaler

    values = np.asarray(labels)
    if arm == "majority":
        best = values.mean() if task.kind == "value" else np.eye(values.max() + 1)[np.bincount(values).argmax()]
        return [np.atleast_1d(best) for _ in tested]
    if arm == "composition":
        scaler = StandardScaler()
        train, test = scaler.fit_transform(composition(sequences)), scaler.transform(composition(tested))
    else:
        train, test = _one_hot(sequences, task.length), _one_hot(tested, task.length)
    if task.kind == "value":
        model = RidgeCV(alphas=(0.1, 1.0, 10.0, 100.0)).fit(train, values)
        return list(model.predict(test)[:, None])
    many = len(np.unique(values)) > 50  # hundreds of folds: the last iterations change nothing but the time
    strength = 1.0 if arm == "composition" else 0.1
    model = LogisticRegression(C=strength, max_iter=40 if many else 300).fit(train, values)
    scores = model.decision_function(test)
    scores = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
    whole = np.full((len(tested), values.max() + 1), -1e9)
    whole[:, model.classes_] = scores
    return list(whole)


def _windows(sequences: Sequence[str], half: int) -> Any:
    """One-hot of each residue and its neighbours up to `half` away, `(residues, (2 half + 1) * 21)` sparse."""
    from scipy.sparse import csr_matrix

    width = 2 * half + 1
    columns = []
    for sequence in sequences:
        ids = np.pad(_IDS[np.frombuffer(sequence.encode(), np.uint8)], half, constant_values=0)
        columns.append(np.lib.stride_tricks.sliding_window_view(ids, width))
    window = np.concatenate(columns)
    row, place = np.nonzero(window)
    return csr_matrix(
        (np.ones(len(row), np.float32), (row, window[row, place] - 1 + 21 * place)), shape=(len(window), 21 * width)
    )


def _residue_shortcut(arm: str, sequences: list[str], labels: list[Any], tested: list[str]) -> list[np.ndarray]:
    """`composition`: the residue alone; `one_hot_linear`: the residue and 10 neighbours on each side."""
    from sklearn.linear_model import SGDClassifier

    flat = np.concatenate(labels)
    known = flat != -100
    cuts = np.cumsum([len(sequence) for sequence in tested])[:-1]
    if arm == "majority":
        shares = np.bincount(flat[known]) / known.sum()
        return [np.tile(np.log(shares), (len(sequence), 1)) for sequence in tested]
    half = 0 if arm == "composition" else 10
    model = SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0, max_iter=30, early_stopping=False, tol=1e-4)
    model.fit(_windows(sequences, half)[known], flat[known])
    return np.split(model.decision_function(_windows(tested, half)), cuts)


# Cells


def run(data: Path, work: Path, tasks: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run every cell that has no file yet: shortcuts first, then one seed after the other."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work.mkdir(parents=True, exist_ok=True)
    held_out = {s for task in TASKS.values() for s in load(task, data, task.test)["sequence"]}
    for arm in arms:
        if arm in PRETRAINING and not (work / "pretrained" / arm / "facts.json").exists():
            pretrain(arm, data, work, held_out)
    for seed in seeds:
        for name in tasks:
            for arm in arms:
                _cell(name, arm, seed, data, work)


def _cell(name: str, arm: str, seed: int, data: Path, work: Path) -> None:
    path = work / f"{name}.{arm}.{seed}.json"
    if path.exists():
        return
    task = TASKS[name]
    function: Callable[[], dict[str, Any]] = (
        (lambda: shortcut(arm, task, data, seed))
        if arm in ("majority", "composition", "one_hot_linear")
        else (lambda: fine_tune(arm, task, data, work, seed))
    )
    result = {"task": name, "arm": arm, "seed": seed, **function(), "commit": commit()}
    with tempfile.NamedTemporaryFile("w", dir=work, delete=False, suffix=".part") as file:
        json.dump(result, file, indent=1)
    Path(file.name).replace(path)
    print(f"{name:20} {arm:15} seed {seed}: {result['metrics'][task.metric]:.3f} ({result['seconds']} s)", flush=True)


def commit() -> str:
    """Commit of this checkout."""
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def collect(work: Path, results: Path = RESULTS) -> dict[str, Any]:
    """Gather finished cells into one file and print the table; what was not run is listed as such."""
    cells = [json.loads(path.read_text()) for path in sorted(work.glob("*.*.*.json"))]
    table: dict[str, Any] = {}
    missing = []
    for name, task in TASKS.items():
        entry: dict[str, Any] = {**asdict(task), "options": dict(task.options), "published": dict(task.published)}
        entry["arms"] = {}
        for arm in ARMS:
            found = [cell for cell in cells if (cell["task"], cell["arm"]) == (name, arm)]
            missing += [f"{name}.{arm}.{seed}" for seed in SEEDS if seed not in {cell["seed"] for cell in found}]
            if found:
                entry["arms"][arm] = _summary(found)
        table[name] = entry
    pretrained = [json.loads(path.read_text()) for path in sorted(work.glob("pretrained/*/facts.json"))]
    outcome = {
        "command": "python -m benchmarks.tables.proteins --data DATA --work work/proteins",
        "commit": commit(),
        "commits_of_cells": sorted({cell["commit"] for cell in cells}),
        "device": f"{platform.machine()} CPU, 1 thread, beside other work",
        "networks": {"plus_rnn, mlm_only, scratch": RNN, "plus_tfm": TFM},
        "pretraining": pretrained,
        "tasks": table,
        "not_run": missing,
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(outcome, indent=1) + "\n")
    results.with_suffix(".md").write_text(page(outcome))
    print(markdown(outcome))
    return outcome


def page(outcome: dict[str, Any]) -> str:
    """The results as a page: table, what differs from the published figures, pretraining, what was not run."""
    lines = ["# Protein tasks at small size", "", f"`{outcome['command']}`, commit {outcome['commit']},"]
    lines += [f"{outcome['device']}. Mean ± standard deviation over seeds (training rows and weights).", ""]
    lines += [
        markdown(outcome),
        "",
        "What differs from the published figures, beside the size of the pretraining:",
        "",
    ]
    lines += [f"- {name}: {entry['differs']}" for name, entry in outcome["tasks"].items()]
    lines += ["", "Pretraining:", ""]
    for facts in outcome["pretraining"]:
        lines.append(
            f"- {facts['arm']}: {facts['parameters']:,} weights, {facts['sequences']:,} sequences, {facts['steps']} "
            f"steps, {facts['tokens'] / 1e6:.1f} M residues, {facts['seconds']} s; held-out masked residues "
            f"{facts['masked_accuracy']:.3f} right (most common residue "
            f"{facts['masked_accuracy_most_common_residue']:.3f}), same family {facts['same_family_accuracy']:.3f} "
            f"(composition and length alone {facts['same_family_accuracy_composition_and_length']:.3f})"
        )
    segments = outcome["tasks"]["transmembrane"]["arms"]
    lines += ["", "Transmembrane proteins with all segments right: "]
    lines[-1] += ", ".join(f"{arm} {found['mean']['protein_accuracy']:.3f}" for arm, found in segments.items()) + "."
    if outcome["not_run"]:
        lines += ["", "Not run (the same command runs them): " + ", ".join(outcome["not_run"]) + "."]
    return "\n".join(lines) + "\n"


def _summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    names = cells[0]["metrics"]
    values = {name: [cell["metrics"][name] for cell in cells] for name in names}
    return {
        "seeds": [cell["seed"] for cell in cells],
        "mean": {name: float(np.mean(value)) for name, value in values.items()},
        "sd": {name: float(np.std(value, ddof=1)) if len(value) > 1 else None for name, value in values.items()},
        "seconds": float(np.mean([cell["seconds"] for cell in cells])),
    }


def markdown(outcome: dict[str, Any]) -> str:
    """The results as a Markdown table: mean ± sd over seeds, number of seeds."""
    lines = ["| task (metric) | " + " | ".join(ARMS) + " | published |", "|---|" + "---|" * (len(ARMS) + 1)]
    for name, entry in outcome["tasks"].items():
        cells = []
        for arm in ARMS:
            found = entry["arms"].get(arm)
            if found is None:
                cells.append("not run")
                continue
            mean, sd = found["mean"][entry["metric"]], found["sd"][entry["metric"]]
            spread = "" if sd is None else f" ± {sd:.3f}"
            cells.append(f"{mean:.3f}{spread} (n={len(found['seeds'])})")
        published = "; ".join(f"{who} {value}" for who, value in entry["published"].items()) or "-"
        lines.append(f"| {name} ({entry['metric']}) | " + " | ".join(cells) + f" | {published} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SEQFORMERS_DATA"), help="folder of the public data"
    )
    parser.add_argument("--work", type=Path, default=Path("work/proteins"), help="folder of finished cells")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--collect", action="store_true", help="only write results/proteins.json and print the table")
    options = parser.parse_args()
    if not options.collect:
        if options.data is None:
            parser.error("give --data, or set SEQFORMERS_DATA")
        run(Path(options.data), options.work, options.tasks, options.arms, options.seeds)
    collect(options.work)


if __name__ == "__main__":
    main()
