"""The networks of the protein tasks: pretraining on pairs of families, and fine-tuning, with the stock Trainer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from transformers import Trainer, TrainingArguments, set_seed

import seqformers
from benchmarks.tables.proteins_data import Rows, Task, families
from benchmarks.tables.proteins_shortcuts import composition
from seqformers import DataCollatorForResidueLanguageModeling
from seqformers.datasets_scripts.pfam.family_pairs import stream_pairs
from seqformers.tokenization.tokenization_protein import ProteinTokenizer
from seqformers.training.batches import Batches
from seqformers.training.tasks import Classes, Numbers, Residues

__all__ = ["NETWORKS", "PRETRAINING", "RNN", "TFM", "fine_tune", "network", "pretrain"]

NETWORKS = ("scratch", "mlm_only", "plus_rnn", "plus_tfm")
RNN = {"hidden_size": 64, "num_hidden_layers": 2, "projection_size": 32, "classifier_hidden_size": 128,
       "pooling": "mean"}  # fmt: skip
TFM = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
       "pooling": "mean", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip
PRETRAINING = {  # steps of so many pairs, each of up to 2 x 300 residues
    "mlm_only": {"steps": 700, "pairs": 32, "learning_rate": 3e-3, "same_family": False},
    "plus_rnn": {"steps": 700, "pairs": 32, "learning_rate": 3e-3, "same_family": True},
    "plus_tfm": {"steps": 500, "pairs": 16, "learning_rate": 1e-3, "same_family": True},
}
_RATES = {"rnn": 4e-3, "tfm": 1e-3}  # of fine-tuning


def network(arm: str, head: str, **config: Any) -> Any:
    """A fresh network of an arm with the head `ForPreTraining`, `ForSequenceClassification`, ..."""
    if arm == "plus_tfm":
        return getattr(seqformers, f"ProteinBert{head}")(seqformers.ProteinBertConfig.plus_tfm(**TFM, **config))
    return getattr(seqformers, f"PlusRnn{head}")(seqformers.PlusRnnConfig(**RNN, **config))


def _tokenizer(arm: str) -> Any:
    return ProteinTokenizer("plus-tfm" if arm == "plus_tfm" else "plus", model_max_length=100_000)


def _train(
    model: Any, rows: Any, collate: Callable[..., Any], folder: Path, seed: int, rate: float, batch: int, **more: Any
) -> Trainer:
    """Train with the stock `Trainer`; what it logs stays in its state."""
    arguments = TrainingArguments(
        output_dir=str(folder), seed=seed, learning_rate=rate, per_device_train_batch_size=batch, warmup_steps=0.1,
        lr_scheduler_type="linear", max_grad_norm=1.0, weight_decay=0.0, save_strategy="no", report_to="none",
        use_cpu=True, disable_tqdm=True, bf16=True, remove_unused_columns=False,
        dataloader_pin_memory=False, logging_steps=50,
        **more,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
    trainer.train()
    return trainer


def pretrain(arm: str, data: Path, work: Path, held_out: set[str]) -> dict[str, Any]:
    """Pretrain one arm; weights and facts stay under `work/pretrained/<arm>`."""
    plan = PRETRAINING[arm]
    split = families(data, held_out).train_test_split(test_size=400, seed=0)
    collate = DataCollatorForResidueLanguageModeling(_tokenizer(arm), max_length=1000, seed=0)
    set_seed(0)
    model = network(arm, "ForPreTraining")
    begin = time.time()
    trainer = _train(
        model,
        stream_pairs(split["train"], seed=0),
        lambda pairs: {k: v for k, v in collate(pairs).items() if plan["same_family"] or k != "same_family"},
        work,
        0,
        plan["learning_rate"],
        plan["pairs"],
        max_steps=plan["steps"],
    )
    seconds = round(time.time() - begin)
    folder = work / "pretrained" / arm
    model.save_pretrained(folder)
    mean = float(np.mean([len(sequence) for sequence in split["train"]["sequence"]]))
    facts = {"arm": arm, "seconds": seconds, **plan, "sequences": len(split["train"])}
    facts |= {"parameters": sum(p.numel() for p in model.parameters())}
    facts |= {"residues": round(plan["steps"] * plan["pairs"] * 2 * mean)}
    facts |= _held_out_scores(model, arm, list(stream_pairs(split["test"], seed=1, epochs=4)))
    facts["log"] = [entry for entry in trainer.state.log_history if "loss" in entry][-3:]
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps({key: value for key, value in facts.items() if key != "log"}), flush=True)
    return facts


def _held_out_scores(model: Any, arm: str, pairs: list[dict[str, Any]]) -> dict[str, float]:
    """Masked-residue accuracy and same-family accuracy on held-out pairs, beside shortcuts on the same pairs."""
    model.eval()
    right = total = 0
    similar: list[np.ndarray] = []
    letters = np.zeros(64, dtype=int)
    collate = DataCollatorForResidueLanguageModeling(_tokenizer(arm), max_length=1000, seed=1)
    with torch.no_grad():
        for begin in range(0, len(pairs), 64):
            batch = collate(pairs[begin : begin + 64])
            output = model(**batch)
            known = batch["labels"] != -100
            right += int((output.prediction_logits.argmax(-1) == batch["labels"])[known].sum())
            total += int(known.sum())
            letters += np.bincount(batch["labels"][known], minlength=64)
            logits = output.similarity_logits
            similar.append((logits if logits.ndim == 1 else logits[:, 1] - logits[:, 0]).numpy())
    truth = np.array([pair["same_family"] for pair in pairs])
    sides = [composition([pair[f"sequence_{side}"] for pair in pairs]) for side in "ab"]
    guess = cross_val_predict(LogisticRegression(max_iter=500), np.abs(sides[0] - sides[1]) * 10, truth, cv=5)
    return {
        "masked_accuracy": right / total,
        "masked_accuracy_most_common_residue": float(letters.max() / total),
        "same_family_accuracy": float(((np.concatenate(similar) > 0) == truth).mean()),
        "same_family_accuracy_composition_and_length": float((guess == truth).mean()),
    }


def fine_tune(arm: str, task: Task, rows: Rows, work: Path, seed: int) -> tuple[list[np.ndarray], float]:
    """Fine-tune one arm on the training rows; logits of the test rows, and the mean training loss."""
    labels: list[Any] = rows.labels
    shift, scale = 0.0, 1.0
    if task.kind == "regression":
        shift, scale = float(np.mean(labels)), float(np.std(labels))
        labels = [(label - shift) / scale for label in labels]
    set_seed(seed)
    head = "ForTokenClassification" if task.kind == "tokens" else "ForSequenceClassification"
    model = network(arm, head, **_outputs(task, rows))
    if arm in PRETRAINING:
        _load_encoder(model, work / "pretrained" / arm)
    kind = {"classification": Classes, "regression": Numbers, "tokens": Residues}[task.kind]()
    collate = Batches(_tokenizer(arm), {"text": "sequence"}, kind, "label")
    train = [{"sequence": s, "label": label} for s, label in zip(rows.sequences, labels, strict=True)]
    rate = _RATES["tfm" if arm == "plus_tfm" else "rnn"]
    trainer = _train(model, train, collate, work, seed, rate, 32, num_train_epochs=task.epochs)
    return _predict(model, collate, rows.tested), trainer.state.log_history[-1]["train_loss"]


def _outputs(task: Task, rows: Rows) -> dict[str, Any]:
    if task.kind == "regression":
        return {"num_labels": 1, "problem_type": "regression"}
    both = [*rows.labels, *rows.truth]
    return {"num_labels": int(np.max(np.concatenate(both) if task.kind == "tokens" else both)) + 1}


def _load_encoder(model: Any, folder: Path) -> None:
    """Copy the pretrained encoder; every one of its tensors must be there."""
    from safetensors.torch import load_file

    prefix = model.base_model_prefix + "."
    stored = {key: value for key, value in load_file(folder / "model.safetensors").items() if key.startswith(prefix)}
    missing, _ = model.load_state_dict(stored, strict=False)
    absent = [key for key in missing if key.startswith(prefix)]
    assert not absent, f"not in the pretrained weights: {absent}"


@torch.no_grad()
def _predict(model: Any, collate: Batches, sequences: Sequence[str]) -> list[np.ndarray]:
    """Logits of each sequence, `(classes,)` or `(residues, classes)`, in order."""
    model.eval()
    order = np.argsort([len(sequence) for sequence in sequences])
    outputs: list[Any] = [None] * len(sequences)
    for begin in range(0, len(order), 32):
        chunk = order[begin : begin + 32]
        batch = dict(collate.encode([{"sequence": sequences[i]} for i in chunk]))
        special = batch.pop("special_tokens_mask", None)
        logits = model(**batch).logits
        for place, i in enumerate(chunk):
            residues = None if special is None else (special[place] == 0) & (batch["attention_mask"][place] == 1)
            outputs[i] = (logits[place] if residues is None else logits[place][residues]).numpy()
    return outputs
