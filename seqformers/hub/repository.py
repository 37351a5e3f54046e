"""Write a model as a complete Hub repository: weights, code, and `auto_map` for every class of its family.

Stock `save_pretrained` does as much for objects of this package (`seqformers._registration`); here the same is done
for a folder that is there already, such as one saved by an older version, and `config.json` names the tokenizer too.
A stranger can then load any head, with this package or with `trust_remote_code=True`.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seqformers._families import family_of, tokenizer_modules

__all__ = ["code_files", "share_weights", "write_model_repository"]

_PROCESSOR, _TOKENIZER = "processor_config.json", "tokenizer_config.json"


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
    model.save_pretrained(directory)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    if processor is not None:
        processor.save_pretrained(directory)
    for name, content in code_files(directory).items():
        (directory / name).write_bytes(content)
    (directory / "training_args.bin").unlink(missing_ok=True)
    share_weights(directory)
    if card is not None:
        (directory / "README.md").write_text(card, encoding="utf-8")
    return directory


def share_weights(directory: str | Path) -> None:
    """Give weight files the permissions of the files beside them; safetensors leaves them to their owner alone."""
    directory = Path(directory)
    mode = (directory / "config.json").stat().st_mode
    for path in directory.glob("*.safetensors"):
        path.chmod(mode)


def code_files(directory: str | Path) -> dict[str, bytes]:
    """The code of the model in a folder, and its JSON files with the `auto_map` that names this code.

    The files of a family are self-contained and go flat into the repository. Nothing is written.

    Args:
        directory (`str` or `Path`): Holds `config.json`, and `tokenizer_config.json` or `processor_config.json`.

    Returns:
        `dict[str, bytes]`: File name -> content.

    Raises:
        ValueError: the model is of no family here.
    """
    directory = Path(directory)
    config = _read_json(directory / "config.json")
    family = family_of(config["model_type"])
    auto_map: dict[str, Any] = {**family.auto_map()}
    modules = [family.config_module, family.modeling_module]
    files = {}
    if family.processor and (directory / _PROCESSOR).is_file():
        modules.append(family.processing_module)
        auto_map["AutoProcessor"] = _reference(family.processing_module, family.processor)
        own = {"auto_map": {"AutoProcessor": auto_map["AutoProcessor"]}}
        files[_PROCESSOR] = _as_json(_read_json(directory / _PROCESSOR) | own)
    if (directory / _TOKENIZER).is_file():
        tokenizer = _read_json(directory / _TOKENIZER)
        module = tokenizer_modules().get(str(tokenizer.get("tokenizer_class")))
        if module:
            modules.append(module)
            auto_map["AutoTokenizer"] = [_reference(module, tokenizer["tokenizer_class"]), None]
            own = {"auto_map": {"AutoTokenizer": auto_map["AutoTokenizer"]}}
            files[_TOKENIZER] = _as_json(tokenizer | own)
    files["config.json"] = _as_json(config | {"auto_map": auto_map})
    return files | {path.name: path.read_bytes() for name in modules for path in _with_relative_imports(name)}


def _with_relative_imports(module: str) -> list[Path]:
    """The module's file and every file it imports relatively, directly or through another one."""
    from transformers.dynamic_module_utils import get_relative_import_files

    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return [Path(spec.origin), *map(Path, get_relative_import_files(spec.origin))]


def _reference(module: str, name: str) -> str:
    return f"{module.rpartition('.')[2]}.{name}"


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _as_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
