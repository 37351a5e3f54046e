"""Weights of the original projects, converted to the classes here.

Adding a converter means adding `seqformers/convert/<name>.py` with `convert(source, output) -> Path` and one row in
`CONVERTERS`. Weights in two files: `convert(source, output, *, full=None)`; k-mers apart
by more than a base: `stride=1`.
"""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from pathlib import Path

from seqformers.tables import refuse_existing

__all__ = ["CONVERTERS", "convert"]

# Name on the command line -> module, and what its source is.
CONVERTERS: dict[str, tuple[str, str]] = {
    "deepcpf1": ("seqformers.convert.deepcpf1", "Seq_deepCpf1_weights.h5 of MyungjaeSong/Paired-Library"),
    "dnabert": ("seqformers.convert.dnabert", "folder or weight file of a DNABERT or virBERT checkpoint"),
    "plus": ("seqformers.convert.plus", "weight file of PLUS-RNN, PLUS-TFM or P-ELMo of mswzeus/PLUS"),
    "tape": ("seqformers.convert.tape", "folder or weight file of a transformer checkpoint of songlab-cal/tape"),
    "targetnet": ("seqformers.convert.targetnet", "TargetNet.pt of mswzeus/TargetNet"),
}


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
        source (`str` or `Path`): File or folder of the original project.
        output (`str` or `Path`): Folder to write.
        full (`str` or `Path`, *optional*): Second file. For `deepcpf1`: the weights with chromatin accessibility. For
            `plus` with an encoder of P-ELMo: its language model.
        stride (`int`, *optional*): For `dnabert`: bases between k-mers in its training data, 1 if absent.
        overwrite (`bool`): Replace an existing folder.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the name is unknown, the file holds something else, or the converter does not take an option.
        FileNotFoundError: there is no such source.
        FileExistsError: the output is there already.
    """
    if name not in CONVERTERS:
        raise ValueError(f"no converter {name!r}; known: {', '.join(sorted(CONVERTERS))}")
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source} (expected {CONVERTERS[name][1]})")
    converter = import_module(CONVERTERS[name][0]).convert
    given = {"full": None if full is None else Path(full), "stride": stride}
    options = {option: value for option, value in given.items() if value is not None}
    for option in options.keys() - signature(converter).parameters.keys():
        raise ValueError(f"{name} does not take --{option}; leave it out")
    refuse_existing(output, overwrite=overwrite)
    return converter(source, Path(output), **options)
