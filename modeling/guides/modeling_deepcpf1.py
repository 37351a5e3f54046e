"""Seq-deepCpf1 and DeepCpf1 (Kim et al. 2018, Nature Biotechnology 36:239) as one transformers model.

A convolution over the one-hot target context, average pooling and three dense layers predict the indel frequency.
With `use_accessibility`, a gate computed from the chromatin accessibility (0/1) multiplies the last dense layer, and
an output layer of its own predicts the frequency at an endogenous target; the output for integrated targets stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_deepcpf1 import DeepCpf1Config

__all__ = ["DeepCpf1Model", "DeepCpf1Output"]

NUM_BASES = 4


@dataclass
class DeepCpf1Output(ModelOutput):
    """Output of [`DeepCpf1Model`].

    Args:
        loss (`torch.Tensor` of shape `()`, *optional*): Mean squared error in squared percentage points.
        logits (`torch.Tensor` of shape `(batch,)`): Predicted indel frequency in percent; not clipped, so it may lie
            below 0 or above 100. The accessibility branch when `accessibility` was given and the model has it,
            otherwise the same as `sequence_scores`.
        sequence_scores (`torch.Tensor` of shape `(batch,)`): Prediction from the sequence alone (Seq-deepCpf1).
        pooled_states (`torch.Tensor` of shape `(batch, hidden_sizes[-1])`): Last dense layer.
        hidden_states (`tuple`, *optional*): On request: the one-hot letters `(batch, context_length, 4)`, the pooled
            convolution `(batch, positions, filters)`, if there is one, and each dense layer `(batch, units)`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    sequence_scores: torch.Tensor | None = None
    pooled_states: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class DeepCpf1PreTrainedModel(PreTrainedModel):
    """Initial weights and loading."""

    config: DeepCpf1Config
    config_class = DeepCpf1Config
    base_model_prefix = "deepcpf1"
    main_input_name = "input_ids"
    # The loss is a mean over the rows of its batch: Trainer divides it by the steps of gradient accumulation.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Glorot uniform weights and zero biases: the defaults of Keras, which the original left in place."""
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)


class DeepCpf1Model(DeepCpf1PreTrainedModel):
    r"""Predicts the indel frequency (percent) of Cpf1 guides; computes its own loss from a batch with labels.

    Two stages of training, as published: everything on integrated targets without `accessibility`; then, after
    [`~DeepCpf1Model.freeze_sequence_layers`], the gate and its output layer on endogenous targets with it.

    Args:
        config (`DeepCpf1Config`): Shape of the network.

    Examples:
        >>> import torch
        >>> from seqformers import DeepCpf1Config, DeepCpf1Model
        >>> model = DeepCpf1Model(DeepCpf1Config(use_accessibility=True)).eval()
        >>> output = model(torch.zeros(2, 34, dtype=torch.long), accessibility=torch.tensor([0, 1]))
        >>> output.logits.shape, output.sequence_scores.shape
        (torch.Size([2]), torch.Size([2]))
        >>> model.freeze_sequence_layers()
        121
    """

    def __init__(self, config: DeepCpf1Config):
        super().__init__(config)
        self.convolution = nn.Conv1d(NUM_BASES, config.num_filters, config.kernel_size) if config.num_filters else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        sizes = [config.num_positions * (config.num_filters or NUM_BASES), *config.hidden_sizes]
        self.dense = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.sequence_output = nn.Linear(sizes[-1], 1)
        if config.use_accessibility:
            self.accessibility_gate = nn.Linear(1, sizes[-1])
            self.accessibility_output = nn.Linear(sizes[-1], 1)
        self.post_init()
        if config.accessibility_only:
            self.freeze_sequence_layers()

    def freeze_sequence_layers(self) -> int:
        """Leave only the accessibility gate and its output layer trainable; return their number of parameters.

        Raises:
            ValueError: the model has no accessibility layer.
        """
        if not self.config.use_accessibility:
            raise ValueError("this model has no accessibility layer; load or make it with use_accessibility=True")
        for name, parameter in self.named_parameters():
            parameter.requires_grad = name.startswith("accessibility_")
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        accessibility: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: object,
    ) -> DeepCpf1Output | tuple[torch.Tensor, ...]:
        r"""Score a batch of target contexts.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, context_length)`): 0, 1, 2, 3 for A, C, G, T; any other
                value is an unknown letter and enters as four zeros.
            accessibility (`torch.Tensor` of shape `(batch,)`, *optional*): 1 where the site is in open chromatin,
                0 where not. Needs `use_accessibility`.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, context_length, 4)`, *optional*): One-hot letters
                instead of `input_ids`, for gradients with respect to the sequence.
            labels (`torch.FloatTensor` of shape `(batch,)`, *optional*): Indel frequencies in percent; negative
                values (background subtraction) are kept.
            sample_weight (`torch.FloatTensor` of shape `(batch,)`, *optional*): Weight of each row in the loss, for
                labels of unequal precision.
            output_hidden_states (`bool`, *optional*): Give the hidden states.
            output_attentions (`bool`, *optional*): Refused: there is no attention here.
            return_dict (`bool`, *optional*): `False` gives a plain tuple.
            **kwargs: Ignored; lets a batch carry columns of its own.

        Raises:
            ValueError: neither or both inputs, a context of another length, accessibility without its layer, or
                attentions are asked for.
        """
        if output_attentions:
            raise ValueError("DeepCpf1 is a convolutional network without attention; leave output_attentions out")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if inputs_embeds is None:
            assert input_ids is not None
            bases = torch.arange(NUM_BASES, device=input_ids.device)
            inputs_embeds = (input_ids.unsqueeze(-1) == bases).to(self.dtype)
        if inputs_embeds.shape[1] != self.config.context_length:
            raise ValueError(
                f"contexts have {inputs_embeds.shape[1]} letters; this model reads {self.config.context_length}"
            )
        if accessibility is not None and not self.config.use_accessibility:
            raise ValueError("this model has no accessibility layer; leave accessibility out, or load a full DeepCpf1")
        if self.config.accessibility_only and labels is not None and accessibility is None:
            raise ValueError("accessibility_only trains on endogenous targets: give their accessibility")
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        every = self._hidden_states(inputs_embeds)
        states = every[-1]
        if self.config.accessibility_only:
            states = states.detach()  # from_pretrained forgets requires_grad: the second stage is cut off here as well
        sequence_scores, scores = self.score_states(states, accessibility)
        output = DeepCpf1Output(
            loss=None if labels is None else _squared_error(scores, labels, sample_weight),
            logits=scores,
            sequence_scores=sequence_scores,
            pooled_states=states,
            hidden_states=tuple(every) if wanted else None,
        )
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()

    def _hidden_states(self, one_hot: torch.Tensor) -> list[torch.Tensor]:
        """`(batch, context, 4)`, the pooled convolution, and the dense layers up to `(batch, hidden_sizes[-1])`."""
        states = [one_hot]
        if self.convolution is not None:
            # the convolution as one matrix product: several times faster than `nn.Conv1d` with four input channels
            kernel, pool = self.convolution.weight, self.config.pool_size
            windows = one_hot.unfold(1, kernel.shape[2], 1).flatten(2)  # (batch, positions, base * length)
            hidden = torch.relu(nn.functional.linear(windows, kernel.flatten(1), self.convolution.bias))
            states.append(hidden[:, : self.config.num_positions * pool].unflatten(1, (-1, pool)).mean(2))
        hidden = states[-1].flatten(1)  # position-major: index = position * filters + filter
        for layer in self.dense:
            hidden = torch.relu(layer(self.dropout(hidden)))
            states.append(hidden)
        return states

    def score_states(
        self, states: torch.Tensor, accessibility: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions from the last dense layer.

        Args:
            states (`torch.Tensor` of shape `(batch, hidden_sizes[-1])`): `pooled_states` of [`DeepCpf1Output`].
            accessibility (`torch.Tensor` of shape `(batch,)`, *optional*): 0 or 1.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: `sequence_scores` and `logits`, `(batch,)` each.
        """
        sequence = self.sequence_output(self.dropout(states)).squeeze(-1) * self.config.output_scale
        if accessibility is None:
            return sequence, sequence
        scaled = accessibility.to(states.dtype).reshape(-1, 1) * self.config.accessibility_scale
        fused = states * torch.relu(self.accessibility_gate(scaled))
        gated = self.accessibility_output(self.dropout(fused)).squeeze(-1)
        return sequence, gated * self.config.accessibility_output_scale


def _squared_error(scores: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    error = (scores - labels.to(scores.dtype).reshape(-1)).square()
    if weight is None:
        return error.mean()
    weight = weight.to(error.dtype).reshape(-1)
    return (weight * error).sum() / weight.sum()
