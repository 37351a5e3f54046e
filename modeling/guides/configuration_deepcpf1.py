"""Configuration of Seq-deepCpf1 / DeepCpf1."""

from __future__ import annotations

from math import isfinite
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

__all__ = ["DeepCpf1Config"]


@strict
class DeepCpf1Config(PreTrainedConfig):
    r"""Configuration of a [`DeepCpf1Model`]. The defaults are the published Seq-deepCpf1 (Kim et al. 2018).

    Args:
        context_length (`int`, defaults to 34): Letters of the target context: 4 upstream, 4 of the PAM (`TTTV`), 23
            of the protospacer, 3 downstream, read 5' to 3' on the strand that carries the PAM.
        num_filters (`int`, defaults to 80): Filters of the convolution. 0 leaves the convolution and the pooling out:
            the flat one-hot context goes straight to the dense layers (a multi-layer perceptron).
        kernel_size (`int`, defaults to 5): Length of the filters; no padding.
        pool_size (`int`, defaults to 2): Width and stride of the average pooling; letters left over at the end drop.
        hidden_sizes (`list[int]`, defaults to `[80, 40, 40]`): Units of the dense layers.
        hidden_dropout_prob (`float`, defaults to 0.3): Dropout on the input of every dense layer, the output layer
            included.
        output_scale (`float`, defaults to 1.0): Factor on the output of the sequence branch. Labels are in percent:
            with 30, the weights of the network need not grow by as much first, and training ends better.
        use_accessibility (`bool`, defaults to `False`): Have the chromatin accessibility layer and its own output
            layer (DeepCpf1). Off: sequence only (Seq-deepCpf1).
        accessibility_scale (`float`, defaults to 1.0): Factor on the 0/1 accessibility before its layer. The
            published DeepCpf1 weights expect 100.
        accessibility_output_scale (`float`, defaults to 1.0): Factor on the output of the accessibility branch. The
            published DeepCpf1 weights expect 3. Neither factor is in the paper's text; both are in its script.
        accessibility_only (`bool`, defaults to `False`): Second stage of training: freeze everything but the
            accessibility layer and its output layer; see [`~DeepCpf1Model.freeze_sequence_layers`].

    Examples:
        >>> from seqformers import DeepCpf1Config, DeepCpf1Model
        >>> DeepCpf1Model(DeepCpf1Config()).num_parameters()
        102681
    """

    model_type = "deepcpf1"
    # Trainer's evaluation then gets the predicted frequencies alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["sequence_scores", "pooled_states", "hidden_states"]

    context_length: int = 34
    num_filters: int = 80
    kernel_size: int = 5
    pool_size: int = 2
    hidden_sizes: list[int] | tuple[int, ...] = (80, 40, 40)
    hidden_dropout_prob: float | int = 0.3
    output_scale: float | int = 1.0
    use_accessibility: bool = False
    accessibility_scale: float | int = 1.0
    accessibility_output_scale: float | int = 1.0
    accessibility_only: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Store lists as JSON does, one label, and refuse shapes no network can have."""
        self.hidden_sizes = list(self.hidden_sizes)
        kwargs.setdefault("num_labels", 1)
        super().__post_init__(**kwargs)
        for name, least in (("context_length", 1), ("kernel_size", 1), ("pool_size", 1), ("num_filters", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.hidden_dropout_prob < 1:
            raise ValueError(f"hidden_dropout_prob must be from 0 to below 1, got {self.hidden_dropout_prob}")
        for name in ("output_scale", "accessibility_scale", "accessibility_output_scale"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, got {getattr(self, name)}")
        if self.problem_type not in (None, "regression") or getattr(self, "class_weights", None) is not None:
            raise ValueError("DeepCpf1 predicts a frequency: problem_type must be 'regression', without class_weights")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise ValueError(f"hidden_sizes must name at least one dense layer of one unit, got {self.hidden_sizes}")
        if self.accessibility_only and not self.use_accessibility:
            raise ValueError("accessibility_only trains the accessibility layer; set use_accessibility too")
        if self.num_filters and (self.context_length - self.kernel_size + 1) // self.pool_size < 1:
            raise ValueError(
                f"nothing is left of a context of {self.context_length} after filters of length {self.kernel_size} "
                f"and pooling by {self.pool_size}; make one of them smaller"
            )

    @property
    def num_positions(self) -> int:
        """Positions that reach the first dense layer."""
        if not self.num_filters:
            return self.context_length
        return (self.context_length - self.kernel_size + 1) // self.pool_size
