"""Tell transformers' Auto classes about the families here, once, and only when those classes are in use.

Importing transformers' model code takes seconds, so `import seqformers` does not. A finder waits for the Auto
modules; each registers what it needs after it has loaded. Loaded already: registration happens at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from seqformers._families import FAMILIES

__all__ = ["register_when_auto_classes_load"]

_AUTO = "transformers.models.auto"


def _class(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _is_loaded(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def _refuse_foreign(known: Any, ours: type, key: str) -> None:
    """A key somebody else owns must not be taken over in silence."""
    if known is not None and known is not ours:
        raise ValueError(
            f"model_type {key!r} is already registered by {known.__module__}.{known.__qualname__}; "
            "seqformers cannot be used beside it in one interpreter"
        )


def _is_half_loaded(name: str) -> bool:
    """A family whose own import brought the Auto classes in: it is registered when its import has ended."""
    return name in sys.modules and not _is_loaded(name)


def _register_configs() -> None:
    if not _is_loaded(f"{_AUTO}.configuration_auto"):
        return
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for family in FAMILIES:
        if _is_half_loaded(family.config_module):
            continue
        config = _class(f"{family.config_module}:{family.config}")
        _refuse_foreign(CONFIG_MAPPING._extra_content.get(family.model_type), config, family.model_type)
        AutoConfig.register(family.model_type, config, exist_ok=True)


def _register_models() -> None:
    # Half-way through loading modeling_utils our own classes cannot be defined yet; its own trigger comes later.
    partly = "transformers.modeling_utils" in sys.modules and not _is_loaded("transformers.modeling_utils")
    if partly or not _is_loaded(f"{_AUTO}.modeling_auto"):
        return
    import transformers

    # First, so that its trigger (this function again) does not meet our classes half-way through their definition.
    import_module("transformers.modeling_utils")
    for family in FAMILIES:
        if _is_half_loaded(family.config_module) or _is_half_loaded(family.modeling_module):
            continue
        config = _class(f"{family.config_module}:{family.config}")
        for auto_class, name in family.models.items():
            auto = getattr(transformers, auto_class, None)
            if auto is not None:
                auto.register(config, _class(f"{family.modeling_module}:{name}"), exist_ok=True)


def _register_tokenizers() -> None:
    if not _is_loaded(f"{_AUTO}.tokenization_auto"):
        return
    from transformers import AutoTokenizer

    for family in FAMILIES:
        if family.tokenizer and not _is_half_loaded(family.config_module):
            config = _class(f"{family.config_module}:{family.config}")
            AutoTokenizer.register(config, tokenizer_class=_class(family.tokenizer), exist_ok=True)


def _register_processors() -> None:
    if not _is_loaded(f"{_AUTO}.processing_auto"):
        return
    from transformers import AutoProcessor

    for family in FAMILIES:
        if (
            family.processor
            and not _is_half_loaded(family.config_module)
            and not _is_half_loaded(family.processing_module)
        ):
            config = _class(f"{family.config_module}:{family.config}")
            AutoProcessor.register(config, _class(f"{family.processing_module}:{family.processor}"), exist_ok=True)


_TRIGGERS: dict[str, Callable[[], None]] = {
    f"{_AUTO}.configuration_auto": _register_configs,
    f"{_AUTO}.modeling_auto": _register_models,
    "transformers.modeling_utils": _register_models,
    f"{_AUTO}.tokenization_auto": _register_tokenizers,
    f"{_AUTO}.processing_auto": _register_processors,
}


def _register_all() -> None:
    _register_configs()
    _register_models()
    _register_tokenizers()
    _register_processors()


# A family's module that was half loaded when its turn came is registered at the end of its own import.
for _family in FAMILIES:
    _TRIGGERS[_family.config_module] = _register_all
    _TRIGGERS[_family.modeling_module] = _register_all
    if _family.processor:
        _TRIGGERS[_family.processing_module] = _register_all


class _LoadThenRegister(Loader):
    """The module's own loader, followed by one registration step."""

    def __init__(self, loader: Loader, then: Callable[[], None]):
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.__spec__._initializing = False  # type: ignore[union-attr]
        self._then()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _AutoModuleFinder(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        then = _TRIGGERS.get(name)
        spec = PathFinder.find_spec(name, path) if then else None
        if then and spec is not None and spec.loader is not None:
            spec.loader = _LoadThenRegister(spec.loader, then)
        return spec


def register_when_auto_classes_load() -> None:
    """Register every family with the Auto classes, now for those already loaded and later for the rest.

    Calling it again changes nothing.

    Raises:
        ValueError: another package has registered one of the model types.
    """
    if not any(isinstance(finder, _AutoModuleFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AutoModuleFinder())
    for name, then in _TRIGGERS.items():
        if _is_loaded(name):
            then()
