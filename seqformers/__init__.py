"""Transformers for DNA, RNA and protein sequences, native to the Hugging Face Hub.

`import seqformers` is cheap: every public name is imported on first use, and the Auto classes learn of the
families here when transformers loads them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from seqformers._families import FAMILIES
from seqformers._registration import register_when_auto_classes_load

try:
    __version__ = version("seqformers")
except PackageNotFoundError:  # a bare checkout on sys.path
    __version__ = "0+unknown"

# Names that do not belong to a model family; those come from the table of families.
_EXPORTS: dict[str, str] = {
    "DataCollatorForKmerLanguageModeling": "seqformers.training.collators",
    "DataCollatorForResidueLanguageModeling": "seqformers.training.collators_protein",
    "KmerTokenizer": "seqformers.tokenization.tokenization_kmer",
    "ProteinTokenizer": "seqformers.tokenization.tokenization_protein",
    "ResidueWordTokenizer": "seqformers.tokenization.tokenization_residue_words",
    "VariableKmerTokenizer": "seqformers.tokenization.tokenization_variable_kmer",
    "annotate_proteins": "seqformers.proteins.annotate",
    "annotation_table": "seqformers.proteins.annotate",
    "build_dataset": "seqformers.datasets",
    "guide_table": "seqformers.guides.score",
    "embed": "seqformers.inference.embed",
    "find_phages": "seqformers.phages.find",
    "predict": "seqformers.inference.predict",
    "load_dataset": "seqformers.datasets",
    "merge": "seqformers.merging",
    "scan_targets": "seqformers.targets.scan",
    "score_guides": "seqformers.guides.score",
}
for _family in FAMILIES:
    _EXPORTS.update(_family.exports())

__all__ = sorted([*_EXPORTS, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'seqformers' has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


register_when_auto_classes_load()
