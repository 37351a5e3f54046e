"""Networks around the one that is trained, for losses that a model alone does not have: a stock `Trainer` trains them.

A learner takes a batch and answers with a loss, as models do. What it wraps is what is kept in the end; what it holds
beside it (a teacher) is neither trained nor saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import ModelOutput

from seqformers.datasets_scripts.genomes.pairs import Pairs
from seqformers.training.batches import texts_of
from seqformers.training.changed_rows import reverse_complements
from seqformers.training.recipe import VIEWS

__all__ = ["Contrasted", "Learner", "ViewBatches", "Weighed"]

_OTHER = "other_"  # before the inputs of the second view


class Learner(nn.Module):
    """A model in training with what its loss needs besides.

    Args:
        model (`PreTrainedModel`): What is trained and kept.
    """

    accepts_loss_kwargs = False  # losses here are means over the rows of a batch

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.config = model.config
        self.main_input_name = model.main_input_name

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The weights, each once: `safetensors` refuses two names of one tensor, as tied embeddings have."""
        found = super().state_dict(*args, **kwargs)
        seen: set[tuple[int, torch.Size]] = set()
        for name, value in list(found.items()):
            place = (value.data_ptr(), value.shape)
            if value.numel() and place in seen:
                del found[name]
            seen.add(place)
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what `state_dict` gave: the second name of a tied tensor is not in it, and is not missing."""
        lacking = sorted(self.state_dict().keys() - state_dict.keys())
        if lacking:
            raise ValueError(f"the checkpoint lacks {lacking[0]} ({len(lacking)} weights); it is of another run")
        result = super().load_state_dict(state_dict, strict=False, assign=assign)
        result.missing_keys.clear()
        return result


class Weighed(Learner):
    """A classifier whose own loss knows no weights of classes and no focusing; in training this one stands for it.

    The loss is the mean over rows, by their classes' weights, of -(1 - p) ** gamma log p, p being the probability of
    the right class (Lin et al. 2017); scoring keeps the model's own.

    Args:
        model (`PreTrainedModel`): Classifier of rows.
        class_weights (`Sequence[float]`, *optional*): One a class; all alike by default.
        focal_gamma (`float`): 0 is plain cross-entropy.
    """

    def __init__(self, model: Any, class_weights: Sequence[float] | None = None, focal_gamma: float = 0.0):
        super().__init__(model)
        self.class_weights, self.focal_gamma = class_weights, focal_gamma

    def forward(self, labels: torch.Tensor, **batch: Any) -> Any:
        """The model's answer, in training with this loss; `labels` are class numbers `(rows,)`."""
        outputs = self.model(labels=labels, **batch)
        if not self.training:
            return outputs
        logits, labels = outputs.logits.float(), labels.long().flatten()
        if logits.ndim == 1 or logits.shape[-1] == 1:  # of yes or no one number
            logits = torch.stack([torch.zeros_like(logits.flatten()), logits.flatten()], -1)
        right = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0]
        losses = -((1 - right.exp()) ** self.focal_gamma) * right
        weights = torch.ones_like(losses)
        if self.class_weights is not None:
            weights = losses.new_tensor(self.class_weights)[labels]
        return ModelOutput(loss=(losses * weights).sum() / weights.sum(), logits=outputs.logits)


class ViewBatches:
    """Collator of two views of each row.

    Args:
        encoder: Tokenizer.
        column (`str`): Column of the sequences.
        molecule (`str`, *optional*): `"dna"` or `"rna"`: the second view is the other strand. None: it is the same
            sequence, and dropout makes the difference.
        mate (`str`, *optional*): Column of the second view, where rows have one; rows then have a `group`.
        max_length (`int`, *optional*): Longer inputs are truncated to so many tokens.
    """

    def __init__(
        self,
        encoder: Any,
        column: str,
        molecule: str | None,
        *,
        mate: str | None = None,
        max_length: int | None = None,
    ):
        self.encoder, self.column, self.mate, self.molecule = encoder, column, mate, molecule
        self.max_length = max_length

    def __call__(self, rows: Sequence[Mapping[str, Any]] | Pairs) -> dict[str, Any]:
        """Tokenize both views; `labels` are the numbers of the rows, which the views share."""
        texts = texts_of(rows, self.column)
        batch = dict(self._encode(texts))
        others = None if self.mate is None else texts_of(rows, self.mate)
        if self.molecule is not None:
            others = reverse_complements(texts, self.molecule)
        if others is not None:
            batch |= {f"{_OTHER}{name}": value for name, value in self._encode(others).items()}
        if self.mate is not None:
            groups = rows.group if isinstance(rows, Pairs) else np.array([row["group"] for row in rows])
            batch["groups"] = torch.from_numpy(groups)
        return batch | {"labels": torch.arange(len(texts))}

    def _encode(self, texts: list[str]) -> Any:
        return self.encoder(
            texts,
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_tensors="pt",
        )


class Contrasted(Learner):
    """An encoder that tells which two views are of one sequence, among all sequences of a batch.

    The loss is the cross-entropy of cosines divided by a temperature, from either side (van den Oord et al. 2018,
    InfoNCE). Two draws of dropout as views are SimCSE's (Gao et al. 2021); the other strand of DNA is a view that an
    encoder of genomes should not tell from the first; two reads of one genome teach what its stretches have in common.

    Args:
        model (`PreTrainedModel`): A base model.
        views (`str`): `"dropout"`, `"reverse_complement"` or `"genome"`.
        special_ids (`Sequence[int]`): Tokens that stand for no sequence: not part of the mean.
        temperature (`float`): Cosines are divided by it.

    Raises:
        ValueError: views by dropout of a network without any.
    """

    def __init__(self, model: Any, views: str, special_ids: Sequence[int], temperature: float = 0.05):
        super().__init__(model)
        assert views in VIEWS, views
        self.views, self.temperature = views, temperature
        self.special_ids = list(special_ids)
        if views == "dropout" and not any(part.p > 0 for part in model.modules() if isinstance(part, nn.Dropout)):
            raise ValueError(
                f"contrastive.views=dropout, but this {model.config.model_type} has no dropout, so both views are "
                "one; set its dropout in model.config, or contrastive.views=reverse_complement"
            )

    def forward(self, labels: torch.Tensor, groups: torch.Tensor | None = None, **batch: Any) -> ModelOutput:
        """Tell the views of a batch apart.

        Args:
            labels (`torch.LongTensor` of shape `(rows,)`): 0, 1, 2, ...
            groups (`torch.LongTensor` of shape `(rows,)`, *optional*): Rows of one group are not told apart.
            **batch: Inputs of the model, and those of the second view under `other_` where it has its own.

        Returns:
            `ModelOutput`: `loss`, and `logits` `(rows, rows)`, cosines of first and second views by temperature.
        """
        first = {name: value for name, value in batch.items() if not name.startswith(_OTHER)}
        second = {name.removeprefix(_OTHER): value for name, value in batch.items() if name.startswith(_OTHER)}
        with self._dropping():
            one, other = self.vectors(first), self.vectors(second or first)
        cosines = nn.functional.normalize(one, dim=-1) @ nn.functional.normalize(other, dim=-1).T
        logits = cosines.float() / self.temperature
        if groups is not None:
            alike = (groups[:, None] == groups) & (labels[:, None] != labels)
            logits = logits.masked_fill(alike, torch.finfo(logits.dtype).min)
        loss = nn.functional.cross_entropy(logits, labels) + nn.functional.cross_entropy(logits.T, labels)
        return ModelOutput(loss=loss / 2, logits=logits)

    def vectors(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """One vector a row, as `seqformers embed` has them: the mean over tokens, or the network's own."""
        outputs = self.model(**inputs)
        hidden, ids = outputs.last_hidden_state, inputs["input_ids"]
        if hidden.shape[1] != ids.shape[1]:  # positions that are pooled are no tokens
            return outputs.pooler_output
        weight = ~torch.isin(ids, torch.tensor(self.special_ids, device=ids.device))
        if "attention_mask" in inputs:
            weight = weight & (inputs["attention_mask"] != 0)
        mean = (hidden * weight[..., None].to(hidden)).sum(1)
        return mean / weight.sum(1, keepdim=True).clamp(min=1)

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """While scoring, views by dropout are drawn all the same, from one seed."""
        if self.training or self.views != "dropout":
            yield
            return
        parts = [part for part in self.model.modules() if isinstance(part, nn.Dropout)]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for part in parts:
                part.train()
            try:
                yield
            finally:
                for part in parts:
                    part.eval()
