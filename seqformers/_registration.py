"""Tell transformers' Auto classes about the families here, once, and only when those classes are in use.

Importing transformers' model code takes seconds, so `import seqformers` does not. A finder watches transformers being
imported and registers the families once an Auto module has loaded. transformers' modules import each other in
circles (a BERT configuration loads the Auto classes while it is being defined), and the families import some of them,
so registration waits until none of these modules is half-way through loading.

The same finder sees the modules of the families being imported and tells their classes which Auto class loads them.
Stock `save_pretrained`, `push_to_hub` and `Trainer(push_to_hub=True)` then copy the code along and write `auto_map`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from seqformers._families import FAMILIES

__all__ = ["register_when_auto_classes_load"]

_AUTO = "transformers.models.auto"
_WATCHED = ("transformers.", "seqformers.modeling.", "seqformers.tokenization.")


def _class(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _is_loading(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _refuse_foreign(known: Any, ours: type, key: str) -> None:
    """What somebody else has registered must not be taken over in silence; our own class imported anew may be."""
    if known is None or (known.__module__, known.__qualname__) == (ours.__module__, ours.__qualname__):
        return
    raise ValueError(
        f"{key} is already registered by {known.__module__}.{known.__qualname__}; "
        "seqformers cannot be used beside it in one interpreter"
    )


def _register_configs() -> None:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for family in FAMILIES:
        config = _class(f"{family.config_module}:{family.config}")
        # Also asks the table of transformers itself: a later version may bring a model of this name.
        known = CONFIG_MAPPING[family.model_type] if family.model_type in CONFIG_MAPPING else None  # noqa: SIM401
        _refuse_foreign(known, config, f"model_type {family.model_type!r}")
        AutoConfig.register(family.model_type, config, exist_ok=True)


def _register_models() -> None:
    import transformers

    for family in FAMILIES:
        config = _class(f"{family.config_module}:{family.config}")
        for auto_class, name in family.models.items():
            auto = getattr(transformers, auto_class, None)
            if auto is not None:
                ours = _class(f"{family.modeling_module}:{name}")
                known = auto._model_mapping._extra_content.get(config)
                _refuse_foreign(known, ours, f"{auto_class} of {family.config}")
                auto.register(config, ours, exist_ok=True)


def _register_tokenizers() -> None:
    from transformers import AutoTokenizer

    for family in FAMILIES:
        if family.tokenizer:
            config = _class(f"{family.config_module}:{family.config}")
            for reference in (*family.other_tokenizers, family.tokenizer):  # all are known by name, the last by config
                AutoTokenizer.register(config, tokenizer_class=_class(reference), exist_ok=True)


def _register_processors() -> None:
    from transformers import AutoProcessor

    for family in FAMILIES:
        if family.processor:
            config = _class(f"{family.config_module}:{family.config}")
            AutoProcessor.register(config, _class(f"{family.processing_module}:{family.processor}"), exist_ok=True)


# Auto module -> the step that waits for it; a step that has run is taken out.
_WAITING: dict[str, Callable[[], None]] = {
    f"{_AUTO}.configuration_auto": _register_configs,
    f"{_AUTO}.modeling_auto": _register_models,
    f"{_AUTO}.tokenization_auto": _register_tokenizers,
    f"{_AUTO}.processing_auto": _register_processors,
}
_running = False


def _classes_of_modules() -> dict[str, dict[str, str]]:
    """Module -> its public classes -> the Auto class that a saved object of that class names."""
    found: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        found.setdefault(family.config_module, {})[family.config] = "AutoConfig"
        for auto_class, name in family.models.items():
            found.setdefault(family.modeling_module, {}).setdefault(name, auto_class)
        if family.processor:
            found.setdefault(family.processing_module, {})[family.processor] = "AutoProcessor"
        for name, module in family.tokenizers().items():
            found.setdefault(module, {})[name] = "AutoTokenizer"
    return found


_CARRIED = _classes_of_modules()


def _carry_code(module: ModuleType) -> None:
    """Have objects of the classes of a loaded module save their code with them."""
    for name, auto_class in _CARRIED.get(module.__name__, {}).items():
        # What `register_for_auto_class` does; that refuses names without an Auto class (pairs, contacts), and imports
        # all of them.
        vars(module)[name]._auto_class = auto_class
    for family in FAMILIES:
        if module.__name__ == family.config_module:
            _name_every_head(vars(module)[family.config], family.auto_map())


def _name_every_head(config_class: Any, auto_map: dict[str, str]) -> None:
    """Save configurations with the `auto_map` of the whole family; transformers records only the class it saves."""
    save = config_class.save_pretrained

    @wraps(save)
    def save_pretrained(self: Any, *arguments: Any, **options: Any) -> Any:
        if type(self) is config_class:
            self.auto_map = auto_map | (getattr(self, "auto_map", None) or {})
        return save(self, *arguments, **options)

    config_class.save_pretrained = save_pretrained


def _register_what_has_loaded() -> None:
    global _running
    if _running or not any(name in sys.modules for name in _WAITING):
        return
    modules = list(sys.modules.items())
    if any(name.startswith(_WATCHED) and _is_loading(module) for name, module in modules):
        return
    _running = True
    try:
        # One step may load the Auto module that the next one waits for.
        while ready := [name for name in _WAITING if name in sys.modules]:
            _WAITING[ready[0]]()
            del _WAITING[ready[0]]
    finally:
        _running = False


class _LoadThenRegister(Loader):
    """The module's own loader, followed by an attempt to register."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.__spec__._initializing = False  # type: ignore[union-attr]
        _carry_code(module)
        _register_what_has_loaded()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _ImportWatcher(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _CARRIED and (not _WAITING or not name.startswith(_WATCHED)):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoadThenRegister(spec.loader)
        return spec


def register_when_auto_classes_load() -> None:
    """Register every family with the Auto classes, now for those already loaded and later for the rest.

    Calling it again changes nothing.

    Raises:
        ValueError: another package has registered one of the model types.
    """
    if not any(isinstance(finder, _ImportWatcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ImportWatcher())
    _register_what_has_loaded()
