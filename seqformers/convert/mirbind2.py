"""miRBind2's published weights to a `PairCnnModel` that reads the whole pairing matrix."""

from __future__ import annotations

from pathlib import Path

__all__ = ["convert"]

_LETTERS = "ATCG"  # the original's order in its pair index
_CARD = """---
library_name: transformers
license: mit
pipeline_tag: text-classification
tags: [biology, rna, mirna, pair_cnn]
---

# miRBind2, published weights

Converted from `models/pairwise_onehot_model` of
[BioGeMT/miRBind_2.0](https://github.com/BioGeMT/miRBind_2.0) (MIT): a convolutional network over the 28 x 50 pairing
matrix of a miRNA and a target site, trained on chimeric eCLIP (Manakov et al. 2022).

```python
import seqformers
from transformers import AutoModel, AutoProcessor

model, processor = AutoModel.from_pretrained("THIS_FOLDER"), AutoProcessor.from_pretrained("THIS_FOLDER")
model(**processor("UGAGGUAGUAGGUUGUAUAGUU", "CGCAUUUUCCCUGCCUACCUCACAGAGCUGUUCUGAGGGUGCAUGGAGGA")).logits.sigmoid()
```
"""


def convert(source: Path, output: Path) -> Path:
    """Convert a weight file of miRBind2.

    Args:
        source (`Path`): `.safetensors`, or the original's `.pt` checkpoint; read as data only, never unpickled as
            code.
        output (`Path`): Folder of the Hub repository to write.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the file holds no miRBind2 weights.
    """
    from seqformers.hub.repository import write_model_repository
    from seqformers.modeling.targets.configuration_pair_cnn import PairCnnConfig
    from seqformers.modeling.targets.modeling_pair_cnn import PairCnnModel
    from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor

    state, length, target = _read(source)
    try:
        convs = [state[f"conv_layers.{number}.weight"] for number in range(_count(state))]
        config = PairCnnConfig(
            kind="matrix",
            max_mirna_length=length,
            target_length=target,
            pair_size=state["pair_linear.weight"].shape[0],
            channels=[conv.shape[0] for conv in convs],
            kernel_sizes=[conv.shape[2] for conv in convs],
            hidden_size=state["fc1.weight"].shape[0],
            dropout=0.2,
        )
        model = PairCnnModel(config)
        model.load_state_dict(_rename(state))
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{source} holds no miRBind2 weights (pair_linear, conv_layers, fc1, fc2): {error}"
        ) from error
    processor = PairCnnProcessor(max_mirna_length=length, target_length=target)
    return write_model_repository(output, model.eval(), processor=processor, card=_CARD)


def _read(source: Path) -> tuple[dict, int, int]:
    """State dict, and rows and columns of the matrix."""
    import json
    import pickle

    import torch
    from safetensors import SafetensorError, safe_open

    if source.suffix == ".safetensors":
        try:
            with safe_open(source, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                found = json.loads((file.metadata() or {}).get("params", "{}"))
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{source} is no safetensors file of miRBind2: {error}") from error
    else:
        try:
            checkpoint = torch.load(source, map_location="cpu", weights_only=True)
            state, found = checkpoint["model_state_dict"], checkpoint["model_params"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            raise ValueError(f"{source} is no checkpoint of miRBind2 (model_state_dict, model_params)") from error
    return state, int(found.get("mirna_length", 28)), int(found.get("target_length", 50))


def _count(state: dict) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("conv_layers.")})


_NAMES = {
    "pair_linear": "pair",
    "conv_layers": "convs",
    "bn_layers": "norms",
    "fc1": "hidden",
    "bn_fc": "hidden_norm",
    "fc2": "classifier",
}


def _rename(state: dict) -> dict:
    """Names of ours; pairs in the order A C G U, where the original has A T C G."""
    order = [_LETTERS.index(letter) for letter in "ACGT"]
    pairs = [4 * row + column for row in order for column in order]
    renamed = {}
    for key, value in state.items():
        part, rest = key.split(".", 1)
        if key == "pair_linear.weight":
            value = value[:, [*pairs, *range(16, value.shape[1])]]
        renamed[f"matrix.{_NAMES[part]}.{rest}"] = value
    return renamed
