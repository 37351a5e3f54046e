"""Which engine scans with a model: a pair CNN, or a TargetNet with its own windows and rules."""

from __future__ import annotations

from typing import Any

from seqformers.hub.load import model_folder, read_config
from seqformers.modeling.targets.modeling_pair_cnn import PairCnnModel
from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor
from seqformers.targets.pair_scanner import PairCnnScanner
from seqformers.targets.scanner import TargetScanner

__all__ = ["open_scanner"]


def open_scanner(
    model: Any = None,
    *,
    windows: bool = False,
    criterion: str | None = None,
    step: int | None = None,
    exhaustive: bool = False,
    energy: bool = True,
    **options: Any,
) -> PairCnnScanner | TargetScanner:
    """The engine for a model.

    Args:
        model (`str`, `Path`, `PairCnnModel` or `TargetNetModel`, *optional*): By default the pair CNN of the package;
            with `windows`, `criterion` or `step` its TargetNet.
        windows (`bool`): As of `TargetScanner`; for a TargetNet.
        criterion (`str`, *optional*): Which windows are candidate sites, one of `CRITERIA`; for a TargetNet.
        step (`int`, *optional*): Distance of windows, counted from the mRNA's 3' end; for a TargetNet.
        exhaustive (`bool`): As of `PairCnnScanner`; for a pair CNN.
        energy (`bool`): As of `PairCnnScanner`.
        **options: As of both.

    Raises:
        ValueError: an option is for the other kind of model, or the model is neither.
    """
    for_targetnet = {"windows": windows, "criterion": criterion is not None, "step": step is not None}
    asked = [name for name, given in for_targetnet.items() if given]
    if model is None:
        model = "targetnet" if asked else "pair_cnn"
    if isinstance(model, TargetNetModel):
        kind = "targetnet"
    elif isinstance(model, PairCnnModel):
        kind = "pair_cnn"
    else:
        kind = read_config(model_folder(model), name=model)["model_type"]
    if kind != "targetnet":
        if asked and kind == "pair_cnn":
            raise ValueError(f"--{asked[0]} is for a TargetNet; leave it out, or add --model targetnet")
        return PairCnnScanner(model, exhaustive=exhaustive, energy=energy, **options)
    if exhaustive:
        raise ValueError("--exhaustive is for a pair CNN; a TargetNet reads all its windows anyway")
    processor = None
    if criterion is not None or step is not None:
        scanner = TargetScanner(model, windows=windows, **options)
        own = scanner.processor.options()
        processor = TargetNetProcessor(
            **(own | {"criterion": criterion or own["criterion"], "step": step or own["step"]})
        )
        model = scanner.model
    return TargetScanner(model, processor=processor, windows=windows, **options)
