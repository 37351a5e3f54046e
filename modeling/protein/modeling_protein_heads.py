"""What the protein families share: initial weights, heads of the tasks, losses and outputs.

Shape suffixes and symbols: B batch, T tokens of a row, R = T - 2 residues.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv1d,
    cross_entropy,
    gelu,
    linear,
    logsigmoid,
    mse_loss,
    pad,
)
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

__all__ = [
    "PACKED_INPUTS",
    "ProteinContactHead",
    "ProteinEncoder",
    "ProteinForContactPrediction",
    "ProteinForSequenceClassification",
    "ProteinForTokenClassification",
    "ProteinHead",
    "ProteinLanguageModel",
    "ProteinLinearHead",
    "ProteinPairOutput",
    "ProteinPreTrainedModel",
    "ProteinPreTrainingOutput",
    "ProteinResidueCnnHead",
    "ProteinResidueHead",
    "ProteinTask",
    "ProteinTiedLanguageModel",
    "ProteinWeightNorm",
    "exporting",
    "init_like_pytorch",
    "inner_tokens",
    "mask_residues",
    "masked_mean_loss",
    "mean_over",
    "ordinal_levels",
    "ordinal_loss",
    "protein_loss",
    "real_tokens",
    "weigh_losses",
]


@dataclass
class ProteinPreTrainingOutput(ModelOutput):
    """Output of pre-training on masked residues and pairs of one family.

    Args:
        loss (`torch.FloatTensor`, *optional*): λ · masked residues + (1 - λ) · same family, or the one of the two
            whose labels were given.
        prediction_logits (`torch.FloatTensor` of shape `(batch, tokens, vocabulary)`): Residue logits.
        similarity_logits (`torch.FloatTensor`, *optional*): "Same family": a logit a row, or (batch, 2) for other
            family and same family.
        mlm_loss (`torch.FloatTensor`, *optional*): Masked-residue loss.
        sfp_loss (`torch.FloatTensor`, *optional*): Same-family loss.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer.
        attentions (`tuple`, *optional*): Of each layer that attends.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    similarity_logits: torch.Tensor | None = None
    mlm_loss: torch.Tensor | None = None
    sfp_loss: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ProteinPairOutput(ModelOutput):
    """Output of the ordinal comparison of two proteins by soft alignment.

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean binary cross-entropy over the ordinal thresholds.
        logits (`torch.FloatTensor` of shape `(batch, num_labels)`): Log-probabilities of the levels up to a constant:
            their softmax is p(level), in proportion to σ_k (1 - σ_(k+1)).
        ordinal_logits (`torch.FloatTensor` of shape `(batch, num_labels - 1)`): Logit k says "level above k".
        scores (`torch.FloatTensor` of shape `(batch,)`): Soft-alignment scores.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    ordinal_logits: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class ProteinWeightNorm(nn.Module):
    """A linear map (`kernel` 0) or convolution over tokens, its weight one direction tensor times one scalar gain."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 0):
        super().__init__()
        self.kernel = kernel
        self.weight_v = nn.Parameter(torch.empty(outputs, inputs, *([kernel] if kernel else [])).normal_(std=0.02))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm())
        self.bias = nn.Parameter(torch.zeros(outputs))

    def reset(self, std: float = 0.02) -> None:
        """Start anew: directions N(0, std), the gain their norm, biases 0."""
        init.normal_(self.weight_v, std=std)
        init.copy_(self.weight_g, self.weight_v.norm())
        init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., inputs), or (B, inputs, T) with a kernel."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm())
        if self.kernel:
            return conv1d(x, weight.to(x.dtype), self.bias, padding=self.kernel // 2)
        return linear(x, weight.to(x.dtype), self.bias)


class ProteinHead(nn.Sequential):
    """TAPE's labels of a protein from its pooled vector, (B, pooled) to (B, num_labels)."""

    def __init__(self, config: Any):
        width = config.classifier_hidden_size
        hidden = ProteinWeightNorm(config.pooled_size, width)
        super().__init__(hidden, nn.ReLU(), ProteinWeightNorm(width, config.num_labels or 2))


class ProteinLinearHead(nn.Linear):
    """Labels by one linear layer, of pooled vectors or of residues: what a probe fits."""

    def __init__(self, config: Any, width: int):
        super().__init__(width, config.num_labels or 2)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Map (..., width) to (..., num_labels); which tokens are real does not matter."""
        return super().forward(hidden)


class ProteinResidueHead(nn.Module):
    """TAPE's labels of residues: batch norm, convolutions of width 5 and 3 with a ReLU between.

    Padding is kept out of the batch statistics and is zero for the convolutions, so a protein's labels do not depend
    on its batch.
    """

    names = ("hidden", "output")  # of the two convolutions among the weights

    def __init__(self, config: Any):
        super().__init__()
        width, hidden = config.representation_size, config.classifier_hidden_size
        self.norm = nn.BatchNorm1d(width)
        self.add_module(self.names[0], ProteinWeightNorm(width, hidden, kernel=5))
        self.add_module(self.names[1], ProteinWeightNorm(hidden, config.num_labels or 2, kernel=3))

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) to (B, T, num_labels)."""
        first, second = (self.get_submodule(name) for name in self.names)
        mask = mask.bool()
        real = mask[:, None, :].to(hidden.dtype)
        if exporting():  # running statistics, so padding cannot reach them
            normed = (self.norm(hidden.transpose(1, 2)) * real).transpose(1, 2)
        else:
            normed = torch.zeros_like(hidden)
            normed[mask] = self.norm(hidden[mask]).to(hidden.dtype)
        x = torch.relu(first(normed.transpose(1, 2))) * real
        return second(x).transpose(1, 2)


class ProteinResidueCnnHead(nn.Module):
    """Labels of a protein from all of its residues: projected to 20, convolved, their maximum, one linear layer.

    The head that PLUS (Min et al. 2021, section on heat shock proteins) puts on frozen representations; the text gives
    the projection only, width 7 and 64 filters are chosen here.
    """

    projected, filters, kernel = 20, 64, 7

    def __init__(self, config: Any):
        super().__init__()
        width = getattr(config, "classifier_input_size", config.representation_size)
        self.projection = nn.Linear(width, self.projected)
        self.conv = nn.Conv1d(self.projected, self.filters, self.kernel, padding=self.kernel // 2)
        self.output = nn.Linear(self.filters, config.num_labels or 2)

    def forward(self, hidden: torch.Tensor, residues: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) and a mask (B, T) of the residues to (B, num_labels); other tokens do not count."""
        real = residues[:, None].to(hidden.dtype)
        found = torch.relu(self.conv(self.projection(hidden).transpose(1, 2) * real))
        return self.output((found * real).amax(-1))  # none is below 0, so 0 stands for "nowhere"


class ProteinContactHead(nn.Module):
    """Contact logits, one bilinear form a class: h_i · diag(w) · h_j + b.

    TAPE maps [h_i * h_j, h_i - h_j] by a linear layer and averages over both orders of i and j, in which the
    difference half cancels. What is left is this form; the R × R × 2 width tensor never exists.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.dropout = nn.Dropout(config.contact_dropout)
        self.product = nn.Linear(config.representation_size, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map residues (B, R, width) to symmetric logits (B, R, R, 2): no contact, contact."""
        hidden = self.dropout(hidden)
        weight, bias = self.product.weight, self.product.bias
        if callable(weight):  # a quantised layer
            weight, bias = self.product.weight().dequantize(), self.product.bias()
        weighed = hidden[:, None] * weight[:, None, :]  # (B, 2, R, width)
        logits = weighed @ hidden[:, None].transpose(-1, -2) + bias[:, None, None]
        return logits.permute(0, 2, 3, 1)


def init_like_pytorch(module: nn.Module) -> None:
    """The start PyTorch gives to linear layers, embeddings and LSTMs."""
    if isinstance(module, nn.Linear):
        bound = module.in_features**-0.5
        init.uniform_(module.weight, -bound, bound)
        if module.bias is not None:
            init.uniform_(module.bias, -bound, bound)
    elif isinstance(module, nn.LSTM):
        bound = module.hidden_size**-0.5
        for parameter in module.parameters():
            init.uniform_(parameter, -bound, bound)
    elif isinstance(module, nn.Embedding) and not getattr(module.weight, "_is_hf_initialized", False):
        init.normal_(module.weight)
        if module.padding_idx is not None:
            init.zeros_(module.weight[module.padding_idx])


# How callers say that a row holds several sequences, `position_ids` apart.
PACKED_INPUTS = ("cu_seq_lens_q", "cu_seq_lens_k", "seq_idx", "sequence_id")


class ProteinPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading: PyTorch's start, or N(0, `initializer_range`) where a family says so."""

    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False
    _input_embed_layer = "embeddings"
    _starts_normal = False
    supports_gradient_checkpointing = True
    gradient_checkpointing = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ProteinWeightNorm):
            module.reset()
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
            super()._init_weights(module)
        elif self._starts_normal and isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        else:
            init_like_pytorch(module)

    def _embed(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
        """Vectors of the tokens, from exactly one of the two inputs."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        return self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds

    def _wants_hidden_states(self, kwargs: dict[str, Any]) -> bool:
        """Whether the caller, or else the configuration, asks for the output of every layer."""
        asked = kwargs.get("output_hidden_states")
        return bool(self.config.output_hidden_states if asked is None else asked)

    def _checkpoint(self) -> Callable[..., Any] | None:
        """What calls a layer while gradients are checkpointed, else None."""
        return self._gradient_checkpointing_func if self.gradient_checkpointing and self.training else None

    def _refuse_foreign(self, kwargs: dict[str, Any]) -> None:
        """One protein a row and no attention: what asks for more must not be passed over."""
        position_ids = kwargs.get("position_ids")
        packed = [name for name in PACKED_INPUTS if kwargs.get(name) is not None]
        if position_ids is not None and not exporting():
            in_order = torch.arange(position_ids.shape[-1], device=position_ids.device)
            packed += [] if bool((position_ids == in_order).all()) else ["position_ids"]
        if packed:
            raise ValueError(
                f"{type(self).__name__} reads one protein a row, from its first token on, and takes no {packed[0]}; "
                "give packed proteins a row each, or use a ProteinBert, which tells them apart by position_ids"
            )
        if kwargs.get("output_attentions"):
            raise ValueError(f"{type(self).__name__} is a model without attention; leave output_attentions out")


class ProteinEncoder:
    """`forward` of a base model that reads one protein a row; goes before the family's `PreTrainedModel`."""

    @can_return_tuple
    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, width)`, *optional*): Instead of
                `input_ids`: what `get_input_embeddings()` gives for them.
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            `last_hidden_state` (batch, tokens, `representation_size`), zero at padding; `pooler_output` (batch,
            `pooled_size`); on request `hidden_states`: the embeddings and the output of each layer.

        Raises:
            ValueError: not exactly one input, several proteins packed into a row, or (LSTMs) rows that are empty or
                padded on the left.
        """
        self._refuse_foreign(kwargs)
        embeds = self._embed(input_ids, inputs_embeds)
        mask = real_tokens(embeds, attention_mask)
        wanted = self._wants_hidden_states(kwargs)
        states, pooled = self._read(embeds, mask, wanted)
        real = mask[..., None].to(embeds.dtype)
        return BaseModelOutputWithPooling(
            last_hidden_state=states[-1] * real,
            pooler_output=pooled,
            hidden_states=tuple(state * real for state in states) if wanted else None,
        )

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, keep: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """The embeddings and the output of each layer (all but the last may lack unless `keep`); the protein."""
        raise NotImplementedError


class ProteinTask:
    """A base model, a head on it and a loss: goes before the family's `PreTrainedModel` in a class of a task.

    A class names its `base_class`; the tasks below say what `head_class` reads and how it is scored.
    """

    base_class: Any
    head_class: Any
    output_class: type[ModelOutput] = TokenClassifierOutput
    reads_pooled = False
    config: Any
    classifier: Any
    base_model: Any

    def __init__(self, config: Any):
        super().__init__(config)  # type: ignore[call-arg]
        self.num_labels = config.num_labels or 2
        self._check_class_weights(config)
        self._build(config)
        self.post_init()  # type: ignore[attr-defined]

    def _build(self, config: Any) -> None:
        """Make the base model and the head."""
        classifier = self._make_head(config)  # first: the same seed gives the same weights as ever
        base = self.base_class(config, add_pooling_layer=self.reads_pooled)
        setattr(self, self.base_model_prefix, base)  # type: ignore[attr-defined]
        self.classifier = classifier

    def _make_head(self, config: Any) -> nn.Module:
        return self.head_class(config)

    def _num_classes(self) -> int:
        """Classes of the cross-entropy; 0 where the loss is another one."""
        return self.num_labels

    def _check_class_weights(self, config: Any) -> None:
        weights = getattr(config, "class_weights", None)
        if weights is None:
            return
        name, classes = type(self).__name__, self._num_classes()
        if not classes:
            raise ValueError(
                f"{name} has no loss over classes to weigh (num_labels={self.num_labels}, problem_type="
                f"{config.problem_type!r}); leave class_weights out"
            )
        if len(weights) != classes or not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"class_weights of {name} must be {classes} positive numbers, one a class, not {weights}")

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """Predict the labels of the task.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        kwargs["return_dict"] = True
        return self._answer(self._encode(input_ids, attention_mask, inputs_embeds, **kwargs), attention_mask, labels)

    def _encode(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs of the base model."""
        return self.base_model(*args, **kwargs)

    def _answer(
        self,
        outputs: Any,
        attention_mask: torch.Tensor | None,
        labels: torch.Tensor | None,
        mlm_loss: torch.Tensor | None = None,
    ) -> ModelOutput:
        """Logits, and the loss when there are labels, from the outputs of the base model."""
        logits = self._logits(outputs, attention_mask)
        loss = None
        if labels is not None:
            loss = self._loss(logits, labels)
            if mlm_loss is not None:
                loss = weigh_losses(self.config.finetuning_mlm_weight, mlm_loss, loss)
        return self.output_class(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.get("attentions")
        )

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:-1])}; give one label for each "
                "token or pair of residues, -100 at special tokens, padding and what to leave out"
            )
        return masked_mean_loss(logits, labels, getattr(self.config, "class_weights", None))


class ProteinLanguageModel(ProteinTask):
    """Residues predicted; a class makes its `_logits` (B, T, vocabulary)."""

    output_class = MaskedLMOutput

    def _check_class_weights(self, config: Any) -> None:
        """Weights of the classes of a task say nothing about residues."""

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return masked_mean_loss(logits, labels)


class ProteinTiedLanguageModel(ProteinLanguageModel):
    """Masked residues by a layer, a norm and a decoder that is tied to the embedding.

    A class names its `base_class`, and in `_tied_weights_keys` the embedding.
    """

    def _build(self: Any, config: Any) -> None:
        setattr(self, self.base_model_prefix, self.base_class(config, add_pooling_layer=False))
        self.lm_dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.lm_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def get_output_embeddings(self: Any) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.lm_decoder

    def set_output_embeddings(self: Any, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.lm_decoder = new_embeddings

    def _logits(self: Any, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.lm_decoder(self.lm_norm(gelu(self.lm_dense(outputs.last_hidden_state))))


class ProteinForSequenceClassification(ProteinTask):
    """A head for whole proteins: classes, or one value when `num_labels` is 1.

    `labels` are (batch,) or (batch, num_labels): class indices, values, or 0/1 for each label, by
    `config.problem_type`.
    """

    head_class = ProteinHead
    output_class = SequenceClassifierOutput
    reads_pooled = True
    may_read_residues = True

    def _build(self, config: Any) -> None:
        super()._build(config)
        if self._reads_residues():
            self.classifier = ProteinResidueCnnHead(config)

    def _make_head(self, config: Any) -> nn.Module:
        if config.sequence_head == "linear":
            return ProteinLinearHead(config, getattr(config, "pooled_size", config.representation_size))
        return super()._make_head(config)

    def _reads_residues(self) -> bool:
        return self.may_read_residues and self.config.sequence_head == "residue_cnn"

    def _residues(self, outputs: Any, attention_mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the tokens, and which of these are residues."""
        hidden = outputs.last_hidden_state
        return hidden, inner_tokens(real_tokens(hidden, attention_mask))

    def _num_classes(self) -> int:
        other = self.config.problem_type in ("regression", "multi_label_classification")
        return 0 if other or self.num_labels == 1 else self.num_labels

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        if self._reads_residues():
            return self.classifier(*self._residues(outputs, attention_mask))
        return self._pooled_logits(outputs, attention_mask)

    def _pooled_logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.pooler_output)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return protein_loss(self.config, logits, labels)


class ProteinForTokenClassification(ProteinTask):
    """A class for every residue.

    `labels` are (batch, tokens): classes; -100 (any negative value) at special tokens, padding and residues to leave
    out.
    """

    head_class = ProteinResidueHead

    def _make_head(self, config: Any) -> nn.Module:
        if config.token_head == "linear":
            return ProteinLinearHead(config, getattr(config, "classifier_input_size", config.representation_size))
        return super()._make_head(config)

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        return self.classifier(hidden, real_tokens(hidden, attention_mask))


class ProteinForContactPrediction(ProteinTask):
    """A contact head; logits are (batch, residues, residues, 2), residues the tokens but the first and last column.

    `labels` are (batch, tokens - 2, tokens - 2): 1 for contacts, 0 for none, any negative value for pairs to leave
    out.
    """

    head_class = ProteinContactHead

    def _num_classes(self) -> int:
        return 2

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.last_hidden_state[:, 1:-1])


def exporting() -> bool:
    """Whether a graph is being recorded that will see other values, so that none may be looked at."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def real_tokens(like: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Boolean mask (B, T); every token is real when no mask is given."""
    if attention_mask is None:
        return torch.ones(like.shape[:2], dtype=torch.bool, device=like.device)
    if attention_mask.ndim != 2 or attention_mask.shape[1] != like.shape[1]:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, the tokens {tuple(like.shape[:2])}; give 1 for "
            "each token and 0 for padding"
        )
    return attention_mask.bool()


def inner_tokens(mask: torch.Tensor) -> torch.Tensor:
    """Residues (B, T): real tokens but the first and the last."""
    position = torch.arange(mask.shape[1], device=mask.device)
    return mask.bool() & (position > 0) & (position < mask.sum(1, keepdim=True) - 1)


def mean_over(chosen: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Mean (B, width) of `hidden` (B, T, width) over the `chosen` tokens (B, T); zero where there are none."""
    weights = chosen.to(hidden.dtype)
    return torch.einsum("bt,btw->bw", weights, hidden) / weights.sum(1, keepdim=True).clamp(min=1.0)


def mask_residues(
    input_ids: torch.Tensor, candidates: torch.Tensor, wanted: torch.Tensor, mask_token_id: int, replacements: range
) -> tuple[torch.Tensor, torch.Tensor]:
    """Select `wanted` (B,) of the `candidates` (B, T) of each row, hide 80 % of them, replace 10 % and keep 10 %.

    Returns:
        `tuple`: the ids with masked and replaced ones, and the ids to predict, -100 elsewhere.
    """
    keys = torch.rand(input_ids.shape, device=input_ids.device).masked_fill(~candidates, 2.0)
    rank = keys.argsort(1).argsort(1)
    chosen = (rank < wanted[:, None]) & candidates
    targets = input_ids.masked_fill(~chosen, -100)
    action = torch.rand(input_ids.shape, device=input_ids.device)
    random_ids = torch.randint_like(input_ids, replacements.start, replacements.stop)
    masked = torch.where(chosen & (action < 0.8), mask_token_id, input_ids)
    return torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, masked), targets


def weigh_losses(weight: float, mlm_loss: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    """λ · masked residues + (1 - λ) · the other loss, or the one there is."""
    if mlm_loss is None or other is None:
        return other if mlm_loss is None else mlm_loss
    return weight * mlm_loss + (1.0 - weight) * other


def masked_mean_loss(logits: torch.Tensor, labels: torch.Tensor, weights: list[float] | None = None) -> torch.Tensor:
    """Mean cross-entropy, weighed by class, over what is labelled (label 0 or more); zero when nothing is."""
    logits, labels = logits.flatten(0, -2).float(), labels.flatten()
    labels = labels.masked_fill(labels < 0, -100)
    weight = None if weights is None else logits.new_tensor(weights)
    total = cross_entropy(logits, labels, weight=weight, ignore_index=-100, reduction="sum")
    if weight is None:
        return total / (labels != -100).sum().clamp(min=1)
    counted = weight[labels.clamp(min=0)].masked_fill(labels < 0, 0.0).sum()
    return total / counted.clamp(min=torch.finfo(torch.float32).tiny)


def protein_loss(config: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error, cross-entropy or binary cross-entropy, by `problem_type` or else by number and kind of labels.

    Unlike the loss of transformers it leaves the configuration as it is and knows weights of classes.

    Raises:
        ValueError: the shape of the labels does not fit the problem, or classes are weighed where there are none.
    """
    weights = getattr(config, "class_weights", None)
    problem = config.problem_type
    if problem is None:
        several = labels.is_floating_point() or (labels.ndim == 2 and labels.shape == logits.shape)
        problem = "multi_label_classification" if several else "single_label_classification"
        problem = "regression" if config.num_labels == 1 else problem
    single = problem == "single_label_classification"
    wanted = logits.shape[:1] if single else logits.shape
    if labels.numel() != wanted.numel():
        kind = "a class" if single else "a value" if problem == "regression" else "0 or 1 for every label"
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, wanted {tuple(wanted)}: {kind} a protein, for problem_type="
            f"{problem!r} and num_labels={config.num_labels}"
        )
    if single:
        weight = None if weights is None else logits.new_tensor(weights).float()
        return cross_entropy(logits.float(), labels.flatten(), weight=weight)
    if weights is not None:
        raise ValueError(f"class_weights mean nothing for problem_type={problem!r}, which the labels are of")
    if problem == "regression":
        return mse_loss(logits.float().flatten(), labels.float().flatten())
    return binary_cross_entropy_with_logits(logits.float(), labels.float().view_as(logits))


def ordinal_loss(logits: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the thresholds (B, levels - 1) against the cumulative bits of the level (B,)."""
    thresholds = torch.arange(logits.shape[1], device=logits.device)
    return binary_cross_entropy_with_logits(logits, (levels[:, None] > thresholds).to(logits.dtype))


def ordinal_levels(logits: torch.Tensor) -> torch.Tensor:
    """Log σ_k (1 - σ_(k+1)) for every level, with σ_0 = 1 and σ_K = 0."""
    return pad(logsigmoid(logits), (1, 0)) + pad(logsigmoid(-logits), (0, 1))
