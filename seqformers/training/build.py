"""The objects a recipe names: encoder (tokenizer or processor), configuration, model, TrainingArguments."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from seqformers._families import FAMILIES, Family, family_of
from seqformers.hub.download import fetch_repository
from seqformers.training.recipe import Recipe

__all__ = ["build_encoder", "build_model", "has_fast_bf16", "head_of", "max_length_of", "training_arguments"]

# Keys of `tokenizer` that are said at the call or here, not when it is made.
_NOT_INIT = ("type", "max_length")
_HEADS = {
    "pretrain": ("AutoModelForMaskedLM", "AutoModelForPreTraining"),
    "finetune": ("AutoModelForSequenceClassification", "AutoModel"),
    "probe": ("AutoModelForSequenceClassification", "AutoModel"),
}


def _family(recipe: Recipe) -> Family | None:
    """The family of the recipe; None for an architecture of transformers itself."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    name = recipe.model.type
    if any(family.model_type == name for family in FAMILIES):
        return family_of(name)
    if name in CONFIG_MAPPING_NAMES:
        return None
    known = [family.model_type for family in FAMILIES]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"no model of type {name!r}; {hint}known: {', '.join(known)}, and those of transformers")


def head_of(recipe: Recipe) -> str:
    """Name of the Auto class or model class to train: the recipe's, or the default of its task."""
    family = _family(recipe)
    if recipe.model.head is None:
        wanted = _HEADS[recipe.task]
        if family is None:
            return wanted[0]
        for name in wanted:
            if name in family.models:
                return name
        raise ValueError(f"{family.model_type} has no head for `{recipe.task}`; it has: {', '.join(family.models)}")
    head = recipe.model.head
    if family is not None:
        known = [*family.models, *family.models.values()]
        if head not in known:
            near = difflib.get_close_matches(head, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{family.model_type} has no head {head!r}; {hint}known: {', '.join(known)}")
    return head


def _head_class(recipe: Recipe) -> Any:
    """The class to call `from_pretrained` on, and to construct from a configuration."""
    import transformers

    family, head = _family(recipe), head_of(recipe)
    if family is not None:
        name = family.models.get(head, head)
        return getattr(import_module(family.modeling_module), name)
    return getattr(transformers, head)


def accepted_inputs(recipe: Recipe) -> set[str] | None:
    """Arguments that the model's `forward` takes; None where it takes any, or is chosen by an Auto class."""
    cls = _head_class(recipe)
    if not hasattr(cls, "forward"):
        return None
    parameters = inspect.signature(cls.forward).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if anything else set(parameters)


def auto_class_of(recipe: Recipe) -> str:
    """Auto class that loads the trained head, for the card."""
    family, head = _family(recipe), head_of(recipe)
    if family is None or head in family.models:
        return head
    return next(auto for auto, name in family.models.items() if name == head)


def _check_source(recipe: Recipe) -> None:
    source = recipe.model.from_
    if source is not None and not (fetch_repository(source) / "config.json").is_file():
        raise ValueError(f"model.from: {source} is no run folder: it has no config.json. Did its training finish?")


def build_encoder(recipe: Recipe) -> Any:
    """Tokenizer or processor of the run, from `model.from` where that is given."""
    from transformers import AutoProcessor, AutoTokenizer

    _check_source(recipe)
    family = _family(recipe)
    kind = recipe.tokenizer.get("type")
    options = {key: value for key, value in recipe.tokenizer.items() if key not in _NOT_INIT}
    processor = kind == "processor" or (kind is None and family is not None and family.processor is not None)
    if recipe.model.from_ is not None:
        auto = AutoProcessor if processor else AutoTokenizer
        encoder = auto.from_pretrained(fetch_repository(recipe.model.from_))
        for name, value in options.items():
            if hasattr(encoder, name) and getattr(encoder, name) != value:
                raise ValueError(
                    f"tokenizer.{name}={value!r}, but {recipe.model.from_} was trained with "
                    f"{getattr(encoder, name)!r}; leave it out, or train from scratch (model.from=null)"
                )
        return encoder
    cls = _encoder_class(recipe, family, kind, processor)
    _check_options(cls, options)
    if processor and family is not None and "config" in inspect.signature(cls.__init__).parameters:
        options = {"config": _config(recipe, None, {}), **options}
    return cls(**options)


def _encoder_class(recipe: Recipe, family: Family | None, kind: str | None, processor: bool) -> Any:
    if processor:
        if family is None or family.processor is None:
            raise ValueError(f"{recipe.model.type} has no processor; give a tokenizer")
        return getattr(import_module(family.processing_module), family.processor)
    if kind in (None, "auto"):
        if family is None or family.tokenizer is None:
            raise ValueError(f"{recipe.model.type} names no tokenizer of its own; set tokenizer.type=KmerTokenizer")
        module, _, name = family.tokenizer.partition(":")
        return getattr(import_module(module), name)
    import seqformers

    known = [name for name in seqformers.__all__ if name.endswith("Tokenizer")]
    if kind not in known:
        near = difflib.get_close_matches(str(kind), [*known, "processor", "auto"], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no tokenizer {kind!r}; {hint}known: {', '.join(known)}, auto, processor")
    return getattr(seqformers, kind)


def _check_options(cls: Any, options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs", "args")]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "max_length"], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"unknown key 'tokenizer.{name}'; {hint}{cls.__name__} takes: {', '.join(known)}")


def _config(recipe: Recipe, encoder: Any, extra: dict[str, Any]) -> Any:
    """Configuration of the recipe; what the tokenizer decides (k, stride, vocabulary) is taken from it."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    family = _family(recipe)
    cls = getattr(import_module(family.config_module), family.config) if family else CONFIG_MAPPING[recipe.model.type]
    known = {item.name for item in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for name in recipe.model.config:
        if known and name not in known and name not in ("attn_implementation", "dtype"):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown key 'model.config.{name}'{hint}")
    values = {**recipe.model.config, **extra}
    for name, found in _told_by(encoder).items():
        if name not in known:
            continue
        given = recipe.model.config.get(name)
        if name in ("k", "stride") and given is not None and given != found:
            raise ValueError(f"model.config.{name}={given} does not fit the tokenizer's {name}={found}")
        values.setdefault(name, found)
    if recipe.model.from_ is not None:
        config = AutoConfig.from_pretrained(fetch_repository(recipe.model.from_), **values)
        if config.model_type != recipe.model.type:
            raise ValueError(
                f"{recipe.model.from_} holds a {config.model_type!r} model, the recipe says {recipe.model.type!r} "
                f"(set model.type={config.model_type})"
            )
        return config
    if recipe.model.preset is None:
        return cls(**values)
    preset = getattr(cls, recipe.model.preset, None)
    if not inspect.ismethod(preset) or recipe.model.preset.startswith(("_", "from_")):
        raise ValueError(f"model.preset={recipe.model.preset!r} is no preset of {cls.__name__}")
    return preset(**values)


def _told_by(encoder: Any) -> dict[str, Any]:
    """Fields of a configuration that the tokenizer decides."""
    names = ("k", "stride", "vocab_size", "pad_token_id", "mask_token_id", "cls_token_id", "sep_token_id")
    found = {name: getattr(encoder, name, None) for name in names}
    residues = getattr(encoder, "residue_ids", None)
    if residues is not None:
        found |= {"first_residue_id": int(min(residues)), "last_residue_id": int(max(residues))}
    return {name: value for name, value in found.items() if value is not None}


def build_model(recipe: Recipe, encoder: Any, *, kind: str, names: list[str], seed: int) -> Any:
    """A model ready to train, its new weights drawn from `seed`.

    Args:
        recipe (`Recipe`): Which one.
        encoder: Tokenizer or processor; decides vocabulary, k and stride.
        kind (`str`): `classification`, `regression`, `tokens` or `none`, see `Table`.
        names (`list[str]`): Class names, which become `id2label`.
        seed (`int`): For new weights.
    """
    from transformers import set_seed

    extra: dict[str, Any] = {}
    cls = _head_class(recipe)
    if kind == "regression":
        extra = {"num_labels": 1, "problem_type": "regression"}
    elif kind != "none":
        extra = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    extra = {key: value for key, value in extra.items() if key not in recipe.model.config}
    config = _config(recipe, encoder, extra)
    set_seed(seed)
    if recipe.model.from_ is not None:
        return cls.from_pretrained(fetch_repository(recipe.model.from_), config=config)
    return cls.from_config(config) if cls.__name__.startswith("AutoModel") else cls(config)


def max_length_of(recipe: Recipe, config: Any) -> int | None:
    """Tokens an input may have: `tokenizer.max_length`, or what the model's position table and chunks hold."""
    given = recipe.tokenizer.get("max_length")
    places = getattr(config, "max_position_embeddings", None)
    chunks = getattr(config, "max_chunks", 1)
    if places is not None and recipe.task != "pretrain" and chunks > 1:
        places = (places - 2) * chunks + 2
    if given is not None and places is not None and given > places:
        raise ValueError(
            f"tokenizer.max_length={given} is more than the model holds ({places} tokens); raise "
            "model.config.max_position_embeddings or max_chunks, or lower it"
        )
    return given if given is not None else places


def has_fast_bf16(config: Any) -> bool:
    """Whether bf16 autocast pays on this device: GPUs that have it, and CPUs with such instructions for attention.

    On a CPU with AVX512-BF16 a step of a small BERT takes 0.56 of the time of fp32; convolutions and LSTMs of the
    other families are small and stay in fp32 there.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return fast and not torch.accelerator.is_available() and hasattr(config, "num_attention_heads")


_DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "per_device_train_batch_size": 64,
        "per_device_eval_batch_size": 128,
        "learning_rate": 1e-3,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "weight_decay": 0.01,
        "warmup_steps": 0.06,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 1,
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 20,
        "save_strategy": "steps",
        "save_steps": 200,
        "eval_strategy": "steps",
        "eval_steps": 200,
        "save_total_limit": 2,
    },
    "finetune": {
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 128,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 3,
        "logging_steps": 20,
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 2,
    },
    "probe": {"per_device_eval_batch_size": 128},
}


def training_arguments(
    recipe: Recipe,
    output: Path,
    *,
    seed: int,
    has_validation: bool,
    metric: str,
    counts_tokens: bool,
    half: bool,
) -> Any:
    """`transformers.TrainingArguments` of a run: the recipe's fields over the defaults of its task.

    Args:
        recipe (`Recipe`): Its `training` section.
        output (`Path`): Where checkpoints go.
        seed (`int`): Of weights, order and dropout.
        has_validation (`bool`): Without validation rows nothing is evaluated on the way and the last step counts.
        metric (`str`): Metric that chooses the best checkpoint, unless the recipe names another.
        counts_tokens (`bool`): Whether batches have `input_ids`, whose number per second is then logged.
        half (`bool`): Switch bf16 autocast on, unless the recipe says anything about precision.
    """
    import torch
    from transformers import TrainingArguments

    from seqformers.metrics.scores import GREATER_IS_BETTER

    values = {**_DEFAULTS[recipe.task], **recipe.training}
    if not has_validation:
        values |= {"eval_strategy": "no", "load_best_model_at_end": False}
    if values.get("load_best_model_at_end"):
        chosen = values.setdefault("metric_for_best_model", metric).removeprefix("eval_")
        values.setdefault("greater_is_better", GREATER_IS_BETTER.get(chosen, True))
    if half and not {"bf16", "fp16", "bf16_full_eval", "fp16_full_eval"} & set(recipe.training):
        values["bf16"] = True
        values.setdefault("use_cpu", not torch.accelerator.is_available())
    if "dataloader_num_workers" not in values:
        # A batch costs a small part of a CPU step, where a worker would only take a core from the model.
        values["dataloader_num_workers"] = 2 if torch.cuda.is_available() else 0
    values.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    values.setdefault("report_to", "none")
    values.setdefault("include_num_input_tokens_seen", "non_padding" if counts_tokens else "no")
    # The collator reads text columns, which Trainer would drop as unknown to `forward`.
    return TrainingArguments(output_dir=str(output), seed=seed, remove_unused_columns=False, **values)
