"""One class a kind of task: default metrics, labels of a batch, what is kept of a model's outputs, and their score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
import torch
from scipy.special import expit

from seqformers.datasets_scripts.tape.tape import contact_labels
from seqformers.metrics.classification import probabilities
from seqformers.metrics.registry import check_metrics, compute_metrics
from seqformers.training.labels import settle_classes, settle_numbers, settle_residues, settle_several

__all__ = [
    "IGNORED",
    "Classes",
    "Contacts",
    "Labels",
    "MaskedTokens",
    "NextTokens",
    "Numbers",
    "Ranking",
    "Residues",
    "Task",
    "Views",
    "WordVectors",
    "settle_task",
]

IGNORED = -100


class Task:
    """What every kind of task answers; the defaults are those of one answer a row.

    Args:
        names (`Iterable[str]`): Class names in the order of the model's outputs.
    """

    kind: ClassVar[str]  # its metrics in the registry
    default_metrics: ClassVar[tuple[str, ...]] = ("loss",)
    dtype: ClassVar[type] = np.int64  # of the labels in the table
    of_rows: ClassVar[bool] = True  # labels are of rows: predictions file, windows of `predict`
    answers_rows: ClassVar[bool] = True  # one label a row: shortcuts, probe, intervals
    reads_residues: ClassVar[bool] = False  # labels stand at residues, so batches must tell them from special tokens
    joins_batches: ClassVar[bool] = True  # outputs of two batches fit into one array
    labels_in_batch: ClassVar[bool] = True  # the model sees the labels and computes a loss

    def __init__(self, names: Iterable[str] = ()):
        self.names = list(names)

    @property
    def outputs(self) -> dict[str, Any]:
        """Fields of a model's configuration that the task decides."""
        return {"id2label": dict(enumerate(self.names)), "label2id": {name: i for i, name in enumerate(self.names)}}

    def check_metrics(self, names: Iterable[str]) -> list[str]:
        """`names`, or the default ones, if they are metrics of this task."""
        return check_metrics(list(names) or self.default_metrics, self.kind, classes=len(self.names) or None)

    def labels(self, rows: Sequence[Mapping[str, Any]], column: str, batch: Mapping[str, Any]) -> torch.Tensor:
        """Labels of a batch whose inputs are `batch`."""
        return torch.as_tensor(np.asarray([row[column] for row in rows]), dtype=torch.int64)

    def keep(self, logits: Any, labels: Any) -> Any:
        """What of a batch's outputs the score needs; hidden states of a whole test set do not fit into memory."""
        return logits[0] if isinstance(logits, tuple) else logits

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """Metrics of what was kept of all batches."""
        return compute_metrics(self.kind, _array(predictions), np.asarray(labels), metrics, groups)

    def part(self, predictions: Any, labels: Any, rows: np.ndarray) -> tuple[Any, Any]:
        """What was kept of some of the rows, and their labels."""
        return _array(predictions)[rows], np.asarray(labels)[rows]

    def columns(self, predictions: Any) -> dict[str, np.ndarray]:
        """Columns of the predictions file."""
        raise NotImplementedError

    def one_class_only(self, predictions: Any) -> str | None:
        """The class that every row is called, where there is only one: a collapsed model."""
        return None


class Classes(Task):
    """One class a row (or a pair of sequences)."""

    kind = "classification"
    default_metrics = ("macro_recall", "f1_positive", "mcc", "auroc", "accuracy")

    def columns(self, predictions: Any) -> dict[str, np.ndarray]:
        """Probability of each class."""
        outputs = _array(predictions)
        scores = probabilities(outputs.reshape(len(outputs), -1)).astype(np.float32)
        return {f"score_{name}": scores[:, index] for index, name in enumerate(self.names)}

    def one_class_only(self, predictions: Any) -> str | None:
        """The class that every row is called."""
        outputs = _array(predictions)
        found = np.unique(probabilities(outputs.reshape(len(outputs), -1)).argmax(axis=1))
        return self.names[int(found[0])] if len(found) == 1 else None


class Numbers(Task):
    """One number a row."""

    kind = "regression"
    default_metrics: ClassVar[tuple[str, ...]] = ("spearman", "pearson", "mse")
    dtype = np.float64

    @property
    def outputs(self) -> dict[str, Any]:
        """One output, squared error."""
        return {"num_labels": 1, "problem_type": "regression"}

    def labels(self, rows: Sequence[Mapping[str, Any]], column: str, batch: Mapping[str, Any]) -> torch.Tensor:
        """Numbers, `(rows,)`."""
        return torch.as_tensor(np.asarray([row[column] for row in rows]), dtype=torch.float32)

    def columns(self, predictions: Any) -> dict[str, np.ndarray]:
        """The predicted number."""
        outputs = _array(predictions)
        return {"predicted": outputs.reshape(len(outputs), -1)[:, 0].astype(np.float32)}


class Ranking(Numbers):
    """Measured numbers (log fold changes) that the score of a trained classifier is to rank; it never sees them."""

    kind = "ranking"
    default_metrics = ("lfc_score", "spearman")
    labels_in_batch = False

    def columns(self, predictions: Any) -> dict[str, np.ndarray]:
        """The logit of the last class, against that of the first."""
        outputs = _array(predictions)
        outputs = outputs.reshape(len(outputs), -1)
        return {"score": outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, -1] - outputs[:, 0]}

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """Metrics of that logit as a score."""
        return compute_metrics(self.kind, self.columns(predictions)["score"], labels, metrics, groups)


class Labels(Task):
    """Several labels a row, each there or not."""

    kind = "multi_label"
    default_metrics = ("f1_macro", "auroc", "auprc", "accuracy")
    dtype = np.float64
    answers_rows = False

    @property
    def outputs(self) -> dict[str, Any]:
        """One output a label, binary cross-entropy each."""
        return super().outputs | {"problem_type": "multi_label_classification"}

    def labels(self, rows: Sequence[Mapping[str, Any]], column: str, batch: Mapping[str, Any]) -> torch.Tensor:
        """0 or 1 for each label, `(rows, labels)`."""
        return torch.as_tensor(np.asarray([row[column] for row in rows]), dtype=torch.float32)

    def columns(self, predictions: Any) -> dict[str, np.ndarray]:
        """Probability of each label."""
        scores = expit(_array(predictions).astype(np.float64)).astype(np.float32)
        return {f"score_{name}": scores[:, index] for index, name in enumerate(self.names)}


class Residues(Task):
    """One class a residue: a string of one-letter classes or a list of class numbers a row."""

    kind = "tokens"
    default_metrics = ("accuracy", "f1_macro")
    of_rows = answers_rows = False
    reads_residues = True

    def labels(self, rows: Sequence[Mapping[str, Any]], column: str, batch: Mapping[str, Any]) -> torch.Tensor:
        """Classes at the residues' tokens, -100 at special tokens and padding; `(rows, length)`."""
        number = {name: index for index, name in enumerate(self.names)}
        places = (batch["special_tokens_mask"] == 0) & (batch["attention_mask"] != 0)
        labels = torch.full(places.shape, IGNORED, dtype=torch.int64)
        for index, row in enumerate(rows):
            value = row[column]
            numbers = [number[letter] for letter in value] if isinstance(value, str) else list(value)
            room = int(places[index].sum())
            if len(numbers) < room:
                raise ValueError(f"a row has {room} residues but {len(numbers)} labels in {column!r}")
            labels[index, places[index]] = torch.as_tensor(numbers[:room])
        return labels


class Contacts(Task):
    """One class a pair of residues, made of their coordinates."""

    kind = "contacts"
    default_metrics = ("precision_medium+long_L/5", "precision_medium+long_L", "precision_all_L/5_pooled")
    of_rows = answers_rows = False
    reads_residues = True
    joins_batches = False  # maps of two batches have different sizes

    def labels(self, rows: Sequence[Mapping[str, Any]], column: str, batch: Mapping[str, Any]) -> torch.Tensor:
        """Contact maps `(rows, residues, residues)`: -1 where a pair does not count, -100 at padding.

        Two numbers, so that the length of a protein, which the metrics need, can be read off its map.
        """
        sizes = ((batch["special_tokens_mask"] == 0) & (batch["attention_mask"] != 0)).sum(1).tolist()
        labels = torch.full((len(rows), max(sizes), max(sizes)), IGNORED, dtype=torch.int64)
        for index, (row, size) in enumerate(zip(rows, sizes, strict=True)):
            points, mask = row[column], row.get("valid_mask")
            if len(points) < size:
                raise ValueError(f"a row has {size} residues but {len(points)} coordinates in {column!r}")
            mask = None if mask is None else mask[:size]
            labels[index, :size, :size] = torch.from_numpy(contact_labels(points[:size], mask, ignore_index=-1))
        return labels

    def keep(self, logits: Any, labels: Any) -> Any:
        """Probability of a contact, `(rows, residues, residues)`."""
        return super().keep(logits, labels).float().softmax(-1)[..., 1]

    def part(self, predictions: Any, labels: Any, rows: np.ndarray) -> tuple[Any, Any]:
        """Maps of some of the rows, each as a batch of one."""
        maps, truth = ([single[None] for batch in batches for single in batch] for batches in (predictions, labels))
        return [maps[row] for row in rows], [truth[row] for row in rows]

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """Precision from batches of maps; the padding of a map, -100 on its diagonal, is cut off."""
        maps: tuple[list[Any], list[Any]] = ([], [])
        for batch, truth in zip(predictions, labels, strict=True):
            for score, label in zip(batch, truth, strict=True):
                size = int((np.diagonal(label) != IGNORED).sum())
                maps[0].append(score[:size, :size])
                maps[1].append(label[:size, :size])
        return compute_metrics(self.kind, *maps, metrics)


class MaskedTokens(Task):
    """Pretraining: tokens that a masking collator hid, told from those around them."""

    kind = "masked tokens"
    of_rows = answers_rows = False

    @property
    def outputs(self) -> dict[str, Any]:
        """Nothing beyond what the tokenizer says."""
        return {}

    def check_metrics(self, names: Iterable[str]) -> list[str]:
        """The loss chooses; `metrics` of a recipe are of labels."""
        return ["loss"]

    def keep(self, logits: Any, labels: Any) -> Any:
        """Predicted ids at the labelled positions, -100 elsewhere, `(rows, length)`; logits may be of these alone."""
        logits = super().keep(logits, labels)
        out = labels.new_full(labels.shape, IGNORED)
        places = labels != IGNORED
        chosen = logits if logits.ndim == 2 else logits[places]
        out[places] = chosen.argmax(-1)
        return out

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """Share of the labelled tokens that are right."""
        predicted, labels = _array(predictions), np.asarray(labels)
        places = (labels != IGNORED) & (predicted != IGNORED)
        right = float((predicted[places] == labels[places]).mean()) if places.any() else 0.0
        return {"masked_accuracy": right}


class NextTokens(MaskedTokens):
    """Pretraining: each token told from those before it, so logits at i are for the token at i + 1."""

    kind = "next tokens"

    def keep(self, logits: Any, labels: Any) -> Any:
        """Predicted ids, `(rows, length)`; none for the first token."""
        logits = Task.keep(self, logits, labels)
        none = labels.new_full((len(labels), 1), IGNORED)
        return torch.cat([none, logits[:, :-1].argmax(-1)], 1).masked_fill(labels == IGNORED, IGNORED)


class WordVectors(MaskedTokens):
    """Pretraining: words told from others by their neighbours, or rows by their halves; there is a loss alone."""

    kind = "word vectors"

    def keep(self, logits: Any, labels: Any) -> Any:
        """Nothing of the vectors: one -100 a token."""
        return labels.new_full(labels.shape, IGNORED)

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """No metric beside the loss."""
        return {}


class Views(MaskedTokens):
    """Pretraining: which two views are of one sequence, among those of a batch."""

    kind = "views"

    def keep(self, logits: Any, labels: Any) -> Any:
        """Whether the nearest second view of each first one is its own, `(rows,)`, 0 or 1."""
        return (Task.keep(self, logits, labels).argmax(-1) == labels).long()

    def score(
        self, predictions: Any, labels: Any, metrics: Iterable[str], groups: np.ndarray | None = None
    ) -> dict[str, float]:
        """Share of rows whose nearest view is their own; chance is one in a batch."""
        return {"view_accuracy": float(_array(predictions).mean())}


def settle_task(
    splits: dict[str, Any], label: str | None, *, head: str | None, known: list[str] | None
) -> tuple[Task, dict[str, Any]]:
    """The task that head and label column make, and the splits with class numbers for class names.

    Args:
        splits (`dict`): Split -> rows.
        label (`str`, *optional*): Label column; None is pretraining.
        head (`str`, *optional*): Model class or Auto class.
        known (`list[str]`, *optional*): Classes of a trained model in the order of its outputs.
    """
    if label is None:
        if head in _OF_SEQUENCES:
            return _OF_SEQUENCES[head](), splits
        return (NextTokens if "CausalLM" in (head or "") else MaskedTokens)(), splits
    head = head or ""
    if "ContactPrediction" in head:
        return Contacts(["no contact", "contact"]), splits
    task: Task
    if "TokenClassification" in head:
        task = Residues(settle_residues(splits, label, known))
    else:
        feature = next(iter(splits.values())).features[label]
        if not isinstance(feature, datasets.ClassLabel) and getattr(feature, "dtype", "").startswith("float"):
            settle_numbers(splits, label)
            return (Numbers() if known is None else Ranking(known)), splits
        if hasattr(feature, "feature"):
            splits, names = settle_several(splits, label, known)
            task = Labels(names)
        else:
            splits, names = settle_classes(splits, label, known)
            task = Classes(names)
    if known is not None and task.names != known:
        raise ValueError(
            f"the classes of the data are {task.names}, those of the model are {known}; they must be the same"
        )
    return task, splits


_OF_SEQUENCES: dict[str, type[Task]] = {"words": WordVectors, "views": Views}


def _array(predictions: Any) -> np.ndarray:
    return np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions)
