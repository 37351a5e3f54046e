"""Distillation: a small network learns the answers of a large one beside the labels (Hinton et al. 2015).

Teacher and student may be of different families: of labels, each reads the sequences with its own tokenizer. What
stands at tokens (language models, labels of residues, hidden states) needs the same tokens.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import ModelOutput

from seqformers.hub.load import Loaded, load_model
from seqformers.training.batches import Batches
from seqformers.training.learners import Learner
from seqformers.training.plan import Plan
from seqformers.training.rows import Table
from seqformers.training.tasks import IGNORED, Task

__all__ = ["Distilled", "Teacher", "TeacherBatches", "soft_loss"]

_NO_LIMIT = 10**6  # tokens; tokenizers that state no longest input say a number above
_TEACHER = "teacher_"  # before the inputs of a teacher that reads other tokens


@dataclass
class Teacher:
    """A trained model that is learnt from.

    Args:
        loaded (`Loaded`): With its tokenizer.
        same_tokens (`bool`): Whether the student's inputs are its own.
    """

    loaded: Loaded
    same_tokens: bool

    @classmethod
    def of(cls, plan: Plan) -> Teacher:
        """The teacher that a recipe names.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it has no head for these rows, or reads other tokens where they have to be the same.
        """
        recipe = plan.recipe
        loaded = load_model(recipe.distill["teacher"], None)
        if recipe.learns == "labels" and _predicts_tokens(loaded):
            raise ValueError(f"{loaded.name} is a language model, which knows no labels; fine-tune it first")
        if recipe.learns == "tokens" and not _predicts_tokens(loaded):
            raise ValueError(f"{loaded.name} is no language model; give data.label, or another teacher")
        same = _same_tokens(loaded.encoder, plan.encoder)
        if not same and recipe.learns == "tokens":
            raise ValueError(f"{loaded.name} has other tokens than the student, which has to predict the same ones")
        if not same and recipe.distill.get("hidden"):
            raise ValueError(f"distill.hidden compares token by token, but {loaded.name} has other tokens")
        if hasattr(loaded.model.config, "masked_lm_logits"):
            loaded.model.config.masked_lm_logits = "labelled"
        loaded.model.requires_grad_(False)
        return cls(loaded, same)

    @property
    def names(self) -> list[str] | None:
        """Its classes in the order of its outputs; None for a language model or a regression."""
        config = self.loaded.config
        if config.problem_type == "regression" or _predicts_tokens(self.loaded):
            return None
        return [config.id2label[index] for index in range(config.num_labels)]

    @property
    def parameters(self) -> int:
        """Its weights."""
        return int(sum(part.numel() for part in self.loaded.model.parameters()))

    def answer(self, inputs: Mapping[str, Any], *, hidden: bool) -> Any:
        """Its outputs for a batch; what its `forward` does not know is left out."""
        model = self.loaded.model
        device = next(iter(inputs.values())).device
        if next(model.parameters()).device != device:
            model.to(device)
        known = inspect.signature(model.forward).parameters
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        own = {name: value for name, value in inputs.items() if anything or name in known}
        with torch.no_grad():
            return model(**own, **({"output_hidden_states": True} if hidden else {}))

    def collate(self, own: Any, table: Table) -> Any:
        """Rows to its own batches; `own` makes the student's."""
        if self.same_tokens:
            return own
        longest = getattr(self.loaded.encoder, "model_max_length", None)
        longest = longest if longest is not None and longest < _NO_LIMIT else None
        return Batches(self.loaded.encoder, table.columns, table.task, table.label, max_length=longest)


def _predicts_tokens(loaded: Loaded) -> bool:
    return type(loaded.model).__name__.endswith(("ForMaskedLM", "ForPreTraining", "ForCausalLM", "LMHeadModel"))


def _same_tokens(one: Any, other: Any) -> bool:
    """Whether two tokenizers make the same ids of a sequence; processors are never taken for equal."""
    if not hasattr(one, "get_vocab") or not hasattr(other, "get_vocab") or one.get_vocab() != other.get_vocab():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that one of them does not know
        return all(one(text)["input_ids"] == other(text)["input_ids"] for text in ("ACGTTGCANACGGTCA" * 3, "ACD"))


class TeacherBatches:
    """A collator whose batches also hold what a teacher with another tokenizer reads, under `teacher_`."""

    def __init__(self, own: Any, teacher: Any):
        self.own, self.teacher = own, teacher

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Both batches of `rows`; labels are in the student's."""
        also = {name: value for name, value in self.teacher(rows).items() if name != "labels"}
        return {**self.own(rows), **{f"{_TEACHER}{name}": value for name, value in also.items()}}


class Distilled(Learner):
    """A student with its teacher.

    The loss is `(1 - share) * own + share * soft_loss + hidden * distance`: the distance of hidden states is one minus
    the cosine, over tokens and over the student's layers, each compared with the teacher's layer of the same relative
    depth; where widths differ, a linear map that is learnt along and thrown away stands between.

    Args:
        model (`PreTrainedModel`): The student.
        teacher (`Teacher`): What it learns from.
        task (`Task`): What both answer.
        temperature (`float`): Softens both answers; gradients keep their size (Hinton et al. 2015, section 2).
        share (`float`): Of the teacher in the loss, 0 to 1.
        hidden (`float`): Weight of hidden states.
    """

    def __init__(
        self, model: Any, teacher: Teacher, task: Task, *, temperature: float, share: float, hidden: float = 0.0
    ):
        super().__init__(model)
        # Not a part of this module: it has no weights to train, and none to save.
        object.__setattr__(self, "teacher", teacher)
        self.task, self.temperature, self.share, self.hidden = task, temperature, share, hidden
        widths = [getattr(config, "hidden_size", None) for config in (model.config, teacher.loaded.config)]
        if hidden and None in widths:
            raise ValueError("distill.hidden needs networks whose configuration states hidden_size")
        self.projection = nn.Linear(*widths, bias=False) if hidden and widths[0] != widths[1] else nn.Identity()

    def forward(self, **batch: Any) -> Any:
        """The student's answer, and in training the loss with the teacher's part."""
        own = {name: value for name, value in batch.items() if not name.startswith(_TEACHER)}
        if not self.training:
            return self.model(**own)
        read = {name.removeprefix(_TEACHER): value for name, value in batch.items() if name.startswith(_TEACHER)}
        wanted = {"output_hidden_states": True} if self.hidden else {}
        mine = self.model(**own, **wanted)
        theirs = self.teacher.answer(read or own, hidden=bool(self.hidden))  # type: ignore[operator, union-attr]
        soft = soft_loss(self.task, _logits(mine), _logits(theirs), own["labels"], self.temperature)
        loss = (1 - self.share) * mine.loss + self.share * soft
        if self.hidden:
            loss = loss + self.hidden * self._distance(mine.hidden_states, theirs.hidden_states, own)
        return ModelOutput(loss=loss, logits=_logits(mine))

    def _distance(self, mine: Any, theirs: Any, own: Mapping[str, Any]) -> torch.Tensor:
        if mine is None or theirs is None or mine[-1].shape[:2] != theirs[-1].shape[:2]:
            raise ValueError("distill.hidden compares states token by token; these networks do not give them alike")
        mask = own.get("attention_mask")
        real = mine[-1].new_ones(mine[-1].shape[:2]) if mask is None else (mask != 0).to(mine[-1])
        parts = []
        for layer in range(1, len(mine)):
            other = theirs[round(layer * (len(theirs) - 1) / (len(mine) - 1))]
            cosine = nn.functional.cosine_similarity(self.projection(mine[layer]), other.to(mine[layer]), dim=-1)
            parts.append(((1 - cosine) * real).sum() / real.sum().clamp(min=1))
        return torch.stack(parts).mean()


def _logits(outputs: Any) -> torch.Tensor:
    found = getattr(outputs, "logits", None)
    found = outputs.prediction_logits if found is None else found
    return found[0] if isinstance(found, tuple) else found


def soft_loss(
    task: Task, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """How far a student's answers are from a teacher's.

    Args:
        task (`Task`): Of classes and tokens the Kullback-Leibler divergence of softened probabilities, of several
            labels the same label by label, each times `temperature ** 2`; of numbers the squared difference.
        student (`torch.Tensor`): Logits.
        teacher (`torch.Tensor`): Logits of the same shape.
        labels (`torch.Tensor`): Of the batch; -100 where a token does not count.
        temperature (`float`): Logits are divided by it.
    """
    student, teacher = student.float(), teacher.float()
    if task.kind == "regression":
        return nn.functional.mse_loss(student.flatten(), teacher.flatten())
    if task.kind == "next tokens":
        student, teacher, labels = student[:, :-1], teacher[:, :-1], labels[:, 1:]
    if task.kind in ("tokens", "masked tokens", "next tokens"):
        student, teacher = _labelled(student, labels), _labelled(teacher, labels)
    elif task.kind == "multi_label" or student.shape[-1] == 1 or student.ndim == 1:  # yes or no, each
        student, teacher = (torch.stack([torch.zeros_like(x), x], -1).flatten(0, -2) for x in (student, teacher))
    if student.shape != teacher.shape:
        raise ValueError(f"teacher and student give answers of {tuple(teacher.shape)} and {tuple(student.shape)}")
    if not len(student):
        return student.sum()
    ours, goal = (x.div(temperature).log_softmax(-1) for x in (student, teacher))
    return nn.functional.kl_div(ours, goal, log_target=True, reduction="batchmean") * temperature**2


def _labelled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Logits at labelled tokens, `(labelled, classes)`; some models give these alone."""
    return logits if logits.ndim == 2 else logits[labels != IGNORED]
