"""Reading the weight files of other projects, and putting their tensors into a model of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

__all__ = ["Converted", "first_tensor", "layers_of", "load_into", "read_weights", "weight_file"]

_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a converter gives: the model, what encodes its input, and what the card says of the origin.

    Args:
        model (`PreTrainedModel`): The model with the original's weights.
        name (`str`): Heading of the card.
        weights (`Path`): The file the weights are from; the card names its SHA-256.
        original (`dict[str, str]`): `name`, `url`, `licence`, `citation` of the original.
        tokenizer, processor: What encodes the input; one of them.
        facts (`dict[str, Any]`): More facts of the card, by the names of `seqformers.hub.cards.CARD_FACTS`.
    """

    model: Any
    name: str
    weights: Path
    original: dict[str, str]
    tokenizer: Any = None
    processor: Any = None
    facts: dict[str, Any] = field(default_factory=dict)


def weight_file(source: Path) -> Path:
    """The weight file in a checkpoint's folder; a file is itself."""
    if source.is_file():
        return source
    for name in _FILES:
        if (source / name).is_file():
            return source / name
    raise FileNotFoundError(f"no {' or '.join(_FILES)} in {source}")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint, as data only: nothing in the file is run.

    Args:
        path (`Path`): `.safetensors`, or what `torch.save` wrote; wrappers such as `state_dict` and the prefix
            `module.` of several GPUs are taken off.

    Raises:
        ValueError: the file cannot be read, or holds something else than tensors.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # each format, and each way to be torn, has an error of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read as weights, it is no PyTorch state dict: {reason}") from error
    for key in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path} holds something else than a state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def first_tensor(state: Mapping[str, torch.Tensor], name: str, path: Path, project: str) -> torch.Tensor:
    """`state[name]`, without which the file is none of `project`'s (`ValueError`)."""
    if name not in state:
        raise ValueError(f"{path} is no checkpoint of {project}: it has no {name}")
    return state[name]


def layers_of(state: Mapping[str, torch.Tensor], prefix: str) -> int:
    """Number of layers of one direction in a `torch.nn.LSTM` whose tensors begin with `prefix`."""
    return sum(name.startswith(f"{prefix}weight_hh_l") and not name.endswith("_reverse") for name in state)


def load_into(
    model: Any,
    state: Mapping[str, torch.Tensor],
    path: Path,
    project: str,
    *,
    fresh: Callable[[str], bool] = lambda name: False,
) -> Any:
    """Load `state` into `model`, whole: no tensor too many, none missing but those of a head that is `fresh`.

    Args:
        model (`PreTrainedModel`): Its names are those of `state`.
        state (`Mapping[str, Tensor]`): Tensors by our names.
        path (`Path`): The file they are from, for messages.
        project (`str`): Whose model it should be, for messages.
        fresh (callable): Says of a name that it need not be in the file.

    Returns:
        `model`, in evaluation mode.

    Raises:
        ValueError: names or shapes differ.
    """
    try:
        missing, unexpected = model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:  # shapes; the first line only says which class
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} does not fit {project}: {reason}") from error
    missing = [name for name in missing if not fresh(name)]
    if missing or unexpected:
        raise ValueError(f"{path} does not fit {project}: missing {missing[:5]}, too many {unexpected[:5]}")
    return model.eval()
