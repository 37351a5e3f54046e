"""What a repository of a family ships: exactly the files that its classes need, importing nothing a stranger lacks."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from seqformers._families import FAMILIES, Family
from seqformers.hub.repository import code_files

# What `transformers` with `torch` brings along.
_AT_HAND = {"huggingface_hub", "numpy", "tokenizers", "torch", "transformers", *sys.stdlib_module_names}


def shipped(family: Family, folder: Path) -> dict[str, str]:
    """Name -> text of the Python files of a repository of this family, with its tokenizer or processor."""
    (folder / "config.json").write_text(json.dumps({"model_type": family.model_type}))
    if family.tokenizer:
        name = family.tokenizer.partition(":")[2]
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    if family.processor:
        (folder / "processor_config.json").write_text("{}")
    files = code_files(folder)
    return {name: content.decode() for name, content in files.items() if name.endswith(".py")}


def lacking(text: str, beside: set[str]) -> list[str]:
    """Imports of a shipped file, wherever they stand in it, that fail for a stranger."""
    wrong = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name.partition(".")[0] not in _AT_HAND]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            wrong += [str(node.module)] if str(node.module).partition(".")[0] not in _AT_HAND else []
        elif isinstance(node, ast.ImportFrom):
            found = node.level == 1 and f"{node.module}.py" in beside
            wrong += [] if found else ["." * node.level + (node.module or "")]
    return wrong


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_shipped_files_import_nothing_a_stranger_lacks(family: Family, tmp_path: Path) -> None:
    files = shipped(family, tmp_path)
    assert {f"configuration_{family.model_type}.py", f"modeling_{family.model_type}.py"} <= files.keys()
    for name, text in files.items():
        assert not lacking(text, set(files)), name


@pytest.mark.parametrize(
    "line",
    [
        "import seqformers.files",
        "from seqformers.tokenization import portable",
        "from ..shared import heads",
        "from .modeling_of_nobody import heads",
        "from . import heads",
        "def f():\n    import scipy",
        "if TYPE_CHECKING:\n    from pandas import DataFrame",
    ],
)
def test_what_a_stranger_lacks_is_found(line: str) -> None:
    assert lacking(line, {"modeling_x.py"})
    assert not lacking("import json, torch.nn\nfrom .modeling_x import heads", {"modeling_x.py"})


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_repository_ships_its_own_tokenizer_or_processor_only(family: Family, tmp_path: Path) -> None:
    readers = {name for name in shipped(family, tmp_path) if not name.startswith(("configuration_", "modeling_"))}
    shared = {"portable.py", "token_inputs.py", "token_rows.py", "tokenization_arrays.py"}
    expected = {
        "dna": {"tokenization_kmer.py", "tokenization_words.py", *shared},
        "protein": {"tokenization_protein.py", *shared},
        "deepcpf1": {"processing_deepcpf1.py"},
        "pair_cnn": {"processing_pair_cnn.py"},
        "targetnet": {"processing_targetnet.py", "targetnet_sites.py"},
    }
    assert readers == expected[family.model_type if family.processor else family.room]
