"""Published Keras weights of Seq-deepCpf1 and DeepCpf1: the layer list written out, the golden cases, other files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModel

from seqformers import DeepCpf1Processor
from seqformers.convert import convert
from seqformers.convert.deepcpf1 import load_deepcpf1_weights
from tests.conftest import golden_cases

h5py = pytest.importorskip("h5py")

TARGETS = ["TGACTTTGAATGGAGTCGTGAGCGCAAGAACGCT", "GTTATTTGAGCAATGCCACTTAATAAACATGTAA"]


def reference(layers, sequence, *, accessible=None, gate=None, gated_output=None, scale=100.0, output_scale=3.0):
    """The published layer list, one position and one filter at a time, on arrays as Keras 1 stores them."""
    one_hot = np.array([[letter == base for base in "ACGT"] for letter in sequence.upper()], dtype=float)
    kernel, bias = layers[0]
    length, filters = kernel.shape[0], kernel.shape[3]
    convolved = np.zeros((len(sequence) - length + 1, filters))
    for position in range(len(convolved)):
        for offset in range(length):  # Theano convolves: the kernel runs backwards
            convolved[position] += one_hot[position + offset] @ kernel[length - 1 - offset, 0]
    convolved = np.maximum(convolved + bias, 0)
    hidden = np.concatenate([(a + b) / 2 for a, b in zip(convolved[::2], convolved[1::2], strict=False)])
    for kernel, bias in layers[1:-1]:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    if accessible is None:
        return (hidden @ layers[-1][0] + layers[-1][1]).item()
    hidden = hidden * np.maximum(accessible * scale * gate[0][0] + gate[1], 0)
    return (hidden @ gated_output[0] + gated_output[1]).item() * output_scale


def keras_layers(rng, filters=6, sizes=(5, 4)):
    shapes = [(5, 1, 4, filters), (15 * filters, sizes[0]), sizes, (sizes[1], 1)]
    return [(rng.normal(0, 0.3, shape), rng.normal(0, 0.3, shape[-1])) for shape in shapes]


def write_keras(path, layers):
    with h5py.File(path, "w") as file:
        names = ["input_1"] + [f"layer_{index}" for index in range(len(layers))]
        file.attrs["layer_names"] = [name.encode() for name in names]
        file.create_group("input_1").attrs["weight_names"] = np.array([])
        for name, (kernel, bias) in zip(names[1:], layers, strict=True):
            group = file.create_group(name)
            group[f"{name}_W"], group[f"{name}_b"] = kernel.astype("f4"), bias.astype("f4")
            group.attrs["weight_names"] = [f"{name}_W".encode(), f"{name}_b".encode()]
    return path


def test_random_keras_weights_give_the_outputs_of_the_layer_list(tmp_path):
    rng = np.random.default_rng(3)
    layers = keras_layers(rng)
    gate = (rng.normal(0, 0.01, (1, 4)), rng.normal(0, 0.3, 4))
    gated_output = (rng.normal(0, 0.3, (4, 1)), rng.normal(0, 0.3, 1))
    sequence = write_keras(tmp_path / "seq.h5", layers)
    full = write_keras(tmp_path / "full.h5", [*layers[:-1], gate, gated_output])
    model = load_deepcpf1_weights(sequence, full)
    for target in [*TARGETS, "acgtTTTNCGATCGATCGATCAGCTAGCTACGAT"]:
        for accessible in (0, 1):
            output = model(**DeepCpf1Processor()([target], accessibility=[accessible], return_tensors="pt"))
            assert output.sequence_scores.item() == pytest.approx(reference(layers, target), abs=1e-4)
            expected = reference(
                layers, target, accessible=accessible, gate=gate, gated_output=gated_output
            )  # fmt: skip
            assert output.logits.item() == pytest.approx(expected, abs=1e-4)


def test_files_of_two_releases_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    sequence = write_keras(tmp_path / "seq.h5", keras_layers(rng))
    gate, gated_output = (np.ones((1, 4)), np.ones(4)), (np.ones((4, 1)), np.ones(1))
    other = write_keras(tmp_path / "full.h5", [*keras_layers(rng)[:-1], gate, gated_output])
    with pytest.raises(ValueError, match="was not fine-tuned from this"):
        load_deepcpf1_weights(sequence, other)
    with pytest.raises(ValueError, match="does not hold Seq-deepCpf1"):
        load_deepcpf1_weights(other)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(ValueError, match="not a Keras weight file"):
        load_deepcpf1_weights(tmp_path / "x.h5")


def test_golden_cases(checkpoints, tmp_path):
    folder = checkpoints / "deepcpf1"
    full = folder / "DeepCpf1_weights.h5"
    convert("deepcpf1", folder / "Seq_deepCpf1_weights.h5", tmp_path / "out", full=full)
    model = AutoModel.from_pretrained(tmp_path / "out").eval()
    cases = golden_cases("deepcpf1")
    batch = DeepCpf1Processor()(
        [case["sequence"] for case in cases], [case["accessibility"] for case in cases], return_tensors="pt"
    )
    output = model(**batch)
    assert output.sequence_scores.tolist() == pytest.approx([case["sequence_score"] for case in cases], abs=1e-4)
    assert output.logits.tolist() == pytest.approx([case["score"] for case in cases], abs=1e-4)


@pytest.mark.parametrize(("name", "spearman"), [("ht_1_2", 0.7646), ("ht_2", 0.7455)])
def test_published_weights_give_their_correlation(checkpoints, real_data, name, spearman):
    rows = pd.read_parquet(real_data / "cpf1_activity" / f"{name}.parquet")
    model = load_deepcpf1_weights(checkpoints / "deepcpf1" / "Seq_deepCpf1_weights.h5")
    with torch.inference_mode():
        scores = model(**DeepCpf1Processor()(list(rows.target_34), return_tensors="pt")).logits
    assert spearmanr(scores.numpy(), rows.indel_freq_pct).statistic == pytest.approx(spearman, abs=1e-4)
