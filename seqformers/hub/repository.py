"""Write a model as a complete Hub repository: weights, code, and `auto_map` for every class of its family.

`save_pretrained` records only the class being saved in `auto_map`; a repository written from a masked-language
model would then fail for `AutoModelForSequenceClassification`. Here the family's table decides what is recorded,
so a stranger can load any head, with this package or with `trust_remote_code=True`.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seqformers._families import Family, family_of

__all__ = ["write_model_repository"]


def write_model_repository(
    directory: str | Path, model: Any, *, tokenizer: Any = None, processor: Any = None, card: str | None = None
) -> Path:
    """Save `model` with everything a stranger needs to load and fine-tune it.

    Args:
        directory (`str` or `Path`): Folder to write into; created when missing.
        model (`PreTrainedModel`): A model of one of the families here.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): Saved beside it, with its code.
        processor (`ProcessorMixin`, *optional*): Saved beside it, with its code.
        card (`str`, *optional*): Text of `README.md`.

    Returns:
        `Path`: `directory`. It holds safetensors and JSON only, never a pickle.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    family = family_of(model.config.model_type)
    model.save_pretrained(directory)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    if processor is not None:
        processor.save_pretrained(directory)
    _ship_code(directory, family, tokenizer=tokenizer, processor=processor)
    (directory / "training_args.bin").unlink(missing_ok=True)
    if card is not None:
        (directory / "README.md").write_text(card, encoding="utf-8")
    return directory


def _ship_code(directory: Path, family: Family, *, tokenizer: Any, processor: Any) -> None:
    """Copy the family's self-contained files flat into the repository and point `auto_map` at them."""
    auto_map = {"AutoConfig": _reference(family.config_module, family.config)}
    auto_map |= {auto: _reference(family.modeling_module, name) for auto, name in family.models.items()}
    modules = [family.config_module, family.modeling_module]
    if processor is not None and family.processor:
        modules.append(family.processing_module)
        auto_map["AutoProcessor"] = _reference(family.processing_module, family.processor)
        for name in ("processor_config.json", "preprocessor_config.json"):
            _merge_json(
                directory / name, {"auto_map": {"AutoProcessor": auto_map["AutoProcessor"]}}, only_existing=True
            )
    module = type(tokenizer).__module__
    if module.startswith("seqformers."):
        modules.append(module)
        reference = _reference(module, type(tokenizer).__name__)
        auto_map["AutoTokenizer"] = [reference, None]  # type: ignore[assignment]
        _merge_json(directory / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": [reference, None]}})
    _merge_json(directory / "config.json", {"auto_map": auto_map})
    for name in modules:
        for path in _with_relative_imports(name):
            shutil.copyfile(path, directory / path.name)


def _with_relative_imports(module: str) -> list[Path]:
    """The module's file and every file it imports relatively, directly or through another one."""
    from transformers.dynamic_module_utils import get_relative_import_files

    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return [Path(spec.origin), *map(Path, get_relative_import_files(spec.origin))]


def _reference(module: str, name: str) -> str:
    return f"{module.rpartition('.')[2]}.{name}"


def _merge_json(path: Path, values: dict[str, Any], *, only_existing: bool = False) -> None:
    if only_existing and not path.exists():
        return
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content.update(values)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
