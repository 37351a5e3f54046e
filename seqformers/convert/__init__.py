"""Weights of the original projects, converted to the classes here.

Adding a converter means adding `seqformers/convert/<name>.py` with `convert(source) -> Converted` and one row in
`CONVERTERS`. Weights in two files: `convert(source, *, full=None)`; k-mers apart by more than a base: `stride=1`.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from seqformers._families import family_of
from seqformers.files import Output, did_you_mean
from seqformers.hub.cards import render_model_card
from seqformers.hub.repository import write_model_repository

__all__ = ["CONVERTERS", "convert"]

# Name on the command line -> module, and what its source is.
CONVERTERS: dict[str, tuple[str, str]] = {
    "deepcpf1": ("seqformers.convert.deepcpf1", "Seq_deepCpf1_weights.h5 of MyungjaeSong/Paired-Library"),
    "dnabert": ("seqformers.convert.dnabert", "folder or weight file of a DNABERT or virBERT checkpoint"),
    "mirbind2": ("seqformers.convert.mirbind2", "pairwise_onehot_model of BioGeMT/miRBind_2.0"),
    "plus": ("seqformers.convert.plus", "weight file of PLUS-RNN, PLUS-TFM or P-ELMo of mswzeus/PLUS"),
    "tape": ("seqformers.convert.tape", "folder or weight file of a transformer checkpoint of songlab-cal/tape"),
    "targetnet": ("seqformers.convert.targetnet", "TargetNet.pt of mswzeus/TargetNet"),
}

_OTHER_SHAPES = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


def convert(
    name: str,
    source: str | Path,
    output: str | Path,
    *,
    full: str | Path | None = None,
    stride: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Convert published weights into a complete Hub repository of ours.

    Args:
        name (`str`): One of `CONVERTERS`.
        source (`str` or `Path`): File or folder of the original project. It is read as data: no code in it is run.
        output (`str` or `Path`): Folder to write.
        full (`str` or `Path`, *optional*): Second file. For `deepcpf1`: the weights with chromatin accessibility. For
            `plus` with an encoder of P-ELMo: its language model.
        stride (`int`, *optional*): For `dnabert`: bases between k-mers in its training data, 1 if absent.
        overwrite (`bool`): Replace an earlier conversion once this one is whole; any other folder is left alone.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the name is unknown, the file holds something else, or the converter does not take an option.
        FileNotFoundError: there is no such source.
        FileExistsError: the output is there already, or is no earlier conversion.
    """
    if name not in CONVERTERS:
        hint = did_you_mean(name, CONVERTERS)
        raise ValueError(f"no converter {name!r}; {hint}known: {', '.join(sorted(CONVERTERS))}")
    source = Path(source)
    for given in (source, *([] if full is None else [Path(full)])):
        if not given.exists():
            raise FileNotFoundError(f"no such file: {given} (expected {CONVERTERS[name][1]})")
    converter = import_module(CONVERTERS[name][0]).convert
    options = {"full": None if full is None else Path(full), "stride": stride}
    options = {option: value for option, value in options.items() if value is not None}
    for option in options.keys() - signature(converter).parameters.keys():
        raise ValueError(f"{name} does not take --{option}; leave it out")
    inputs = [source, *([] if full is None else [full])]
    with Output(output, "convert", inputs=inputs, folder=True, overwrite=overwrite) as out:
        try:
            made = converter(source, **options)
        except _OTHER_SHAPES as error:  # sizes are read off the tensors, and those of something else fail in many ways
            if isinstance(error, ValueError) and any(str(given) in str(error) for given in inputs):
                raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ValueError(f"{source} does not fit {name}: its tensors have other shapes ({reason})") from error
        parts = {"tokenizer": made.tokenizer, "processor": made.processor}
        write_model_repository(out.start(), made.model, **parts, card=_card(made))
        return out.finish()


def _card(made: Any) -> str:
    """The card of converted weights: the template of their family, with their origin."""
    model_type, own = made.model.config.model_type, type(made.model).__name__
    auto_class = next(auto for auto, name in family_of(model_type).models.items() if name == own)
    with made.weights.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {
        "name": f"{made.name}, converted weights",
        "auto_class": auto_class,
        "input": "tokenizer" if made.processor is None else "processor",
        "tags": ["converted"],
        "parameters": made.model.num_parameters(),
        "original": {**made.original, "sha256": sha256},
    }
    return render_model_card(model_type, facts | made.facts)
