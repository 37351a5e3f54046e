"""Published Seq-deepCpf1 / DeepCpf1 weights (Keras 1 HDF5, Theano kernels) to a [`DeepCpf1Model`] repository."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.convert.weights import Converted, load_into
from seqformers.modeling.guides.configuration_deepcpf1 import DeepCpf1Config
from seqformers.modeling.guides.modeling_deepcpf1 import DeepCpf1Model
from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor

__all__ = ["convert", "load_deepcpf1_weights"]

_POOL_SIZE = 2
# The script that goes with the published weights feeds 0 or 100 and multiplies by 3; the text names neither.
_ACCESSIBILITY_SCALE = 100.0
_OUTPUT_SCALE = 3.0
_ORIGINAL = {
    "name": "the weights released with Kim et al. 2018 (MyungjaeSong/Paired-Library)",
    "url": "https://github.com/MyungjaeSong/Paired-Library",
    "licence": "none is stated: check with the authors before you pass them on",
}

Layer = tuple[np.ndarray, np.ndarray]


def convert(source: Path, *, full: Path | None = None) -> Converted:
    """Read the published weights.

    Args:
        source (`Path`): `Seq_deepCpf1_weights.h5`.
        full (`Path`, *optional*): `DeepCpf1_weights.h5`; adds the chromatin accessibility layers.

    Raises:
        ValueError: a file does not hold the layers of the network, or the two files do not belong together.
    """
    model = load_deepcpf1_weights(source, full)
    accessibility = "" if full is None else ", accessibility=[1]"
    return Converted(
        model=model,
        name="Seq-deepCpf1" if full is None else "DeepCpf1",
        weights=source if full is None else full,
        original=_ORIGINAL,
        processor=DeepCpf1Processor(context_length=model.config.context_length),
        facts={
            "tags": ["dna", "crispr", "cas12a", "converted"],
            "example": f'["TGACTTTGAATGGAGTCGTGAGCGCAAGAACGCT"]{accessibility}',
        },
    )


def load_deepcpf1_weights(sequence_weights: str | Path, full_weights: str | Path | None = None) -> Any:
    """The published weights as a [`DeepCpf1Model`] in evaluation mode; arguments as in [`convert`]."""
    layers = _read_layers(sequence_weights)
    convolution, dense, output = _sequence_layers(layers, sequence_weights)
    length, filters = convolution[0].shape[0], convolution[0].shape[3]
    config = DeepCpf1Config(
        context_length=dense[0][0].shape[0] // filters * _POOL_SIZE + length - 1,
        num_filters=filters,
        kernel_size=length,
        pool_size=_POOL_SIZE,
        hidden_sizes=[bias.size for _, bias in dense],
        use_accessibility=full_weights is not None,
        accessibility_scale=_ACCESSIBILITY_SCALE if full_weights is not None else 1.0,
        accessibility_output_scale=_OUTPUT_SCALE if full_weights is not None else 1.0,
    )
    state = {"convolution.weight": _cross_correlation(convolution[0]), "convolution.bias": convolution[1]}
    named = {f"dense.{index}": layer for index, layer in enumerate(dense)} | {"sequence_output": output}
    if full_weights is not None:
        gate, gated_output = _accessibility_layers(full_weights, [convolution, *dense])
        named |= {"accessibility_gate": gate, "accessibility_output": gated_output}
    for name, (kernel, bias) in named.items():
        state |= {f"{name}.weight": kernel.T, f"{name}.bias": bias}  # Keras dense kernels are (in, out)
    tensors = {name: _tensor(value) for name, value in state.items()}
    return load_into(DeepCpf1Model(config), tensors, Path(sequence_weights), "DeepCpf1")


def _tensor(array: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _cross_correlation(kernel: np.ndarray) -> np.ndarray:
    """Theano `(length, 1, bases, filters)` to `(filters, bases, length)`: Theano convolves, so the length is reversed.

    Left as stored, the second example of the authors gives 78.50 instead of 53.47.
    """
    return kernel[::-1, 0].transpose(2, 1, 0)


def _read_layers(path: str | Path) -> list[Layer]:
    """`(kernel, bias)` of every layer that has weights, in the order of the network."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError("converting Keras weights needs h5py: pip install 'seqformers[convert]'") from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such weight file: {path}")
    try:
        with h5py.File(path) as file:
            groups = [file[name] for name in file.attrs["layer_names"]]
            arrays = [[np.asarray(group[name]) for name in group.attrs["weight_names"]] for group in groups]
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is not a Keras weight file (HDF5 with layer_names): {error}") from error
    layers = [tuple(sorted(pair, key=lambda array: -array.ndim)) for pair in arrays if len(pair) == 2]
    return layers  # type: ignore[return-value]


def _sequence_layers(layers: list[Layer], path: str | Path) -> tuple[Layer, list[Layer], Layer]:
    shapes = [kernel.shape for kernel, _ in layers]
    chain = [shape for shape in shapes if len(shape) == 2]
    fits = (
        len(layers) >= 3
        and len(shapes[0]) == 4
        and shapes[0][1:3] == (1, 4)
        and len(chain) == len(shapes) - 1
        and all(before[1] == after[0] for before, after in pairwise(chain))
        and chain[-1][1] == 1
        and chain[0][0] % shapes[0][3] == 0
    )
    if not fits:
        raise ValueError(
            f"{path} does not hold Seq-deepCpf1: expected kernels (5, 1, 4, 80), (1200, 80), (80, 40), (40, 40), "
            f"(40, 1), found {', '.join(map(str, shapes))}; the full DeepCpf1 file goes to --full"
        )
    return layers[0], layers[1:-1], layers[-1]


def _accessibility_layers(path: str | Path, trunk: list[Layer]) -> tuple[Layer, Layer]:
    """The gate and its output layer; everything before them must be the sequence model's, to the bit."""
    layers = _read_layers(path)
    units = trunk[-1][1].size
    shapes = [kernel.shape for kernel, _ in layers[len(trunk) :]]
    if shapes != [(1, units), (units, 1)]:
        raise ValueError(f"{path} does not hold a full DeepCpf1 with {units} units in its last layer")
    same = all(
        np.array_equal(a, b) for ours, its in zip(trunk, layers, strict=False) for a, b in zip(ours, its, strict=True)
    )
    if not same:
        raise ValueError(
            f"{path} was not fine-tuned from this Seq-deepCpf1: their convolution or dense layers differ; "
            "give the two files of one release"
        )
    return layers[-2], layers[-1]
