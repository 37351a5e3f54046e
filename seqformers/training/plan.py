"""A recipe resolved once: which family, head and source, and from them encoder, configuration and models."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoProcessor, AutoTokenizer, set_seed
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from seqformers._families import FAMILIES, Family, family_of, tokenizer_modules
from seqformers.files import did_you_mean
from seqformers.hub.download import fetch_repository
from seqformers.hub.load import model_folder, read_config
from seqformers.hub.positions import max_tokens
from seqformers.tokenization.spaced import read_letter_by_letter
from seqformers.training.recipe import Recipe

__all__ = ["Plan", "resolve"]

# Keys of `tokenizer` that are said at the call or here, not when it is made.
_NOT_INIT = ("type", "max_length", "from")
_MAPPINGS = {"AutoModelForPreTraining": "MODEL_FOR_PRETRAINING_MAPPING_NAMES"}
_HEADS = {
    "tokens": ("AutoModelForMaskedLM", "AutoModelForPreTraining"),
    "views": ("AutoModel",),
    "labels": ("AutoModelForSequenceClassification", "AutoModel"),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recipe's names stand for.

    Args:
        recipe (`Recipe`): The recipe.
        family (`Family`, *optional*): The family; None for an architecture of transformers itself.
        head (`str`): Auto class or class name to train.
        source (`Path`, *optional*): Folder of `model.from`, fetched if it was on the Hub.
        encoder: Tokenizer or processor.
        max_length (`int`, *optional*): Tokens an input may have.
    """

    recipe: Recipe
    family: Family | None
    head: str
    source: Path | None
    encoder: Any
    max_length: int | None

    @property
    def model_class(self) -> Any:
        """The class to call `from_pretrained` on, and to construct from a configuration."""
        if self.family is None:
            return getattr(transformers, self.head)
        return getattr(import_module(self.family.modeling_module), self.family.models.get(self.head, self.head))

    @property
    def config_class(self) -> Any:
        """The class of its configuration."""
        if self.family is None:
            return CONFIG_MAPPING[self.recipe.model.type]
        return getattr(import_module(self.family.config_module), self.family.config)

    @property
    def auto_class(self) -> str:
        """Auto class that loads the trained head, for the card."""
        if self.family is None or self.head in self.family.models:
            return self.head
        return next(auto for auto, name in self.family.models.items() if name == self.head)

    @property
    def is_causal(self) -> bool:
        """Whether the head tells each token from those before it."""
        name = self.head
        if self.family is None and name.startswith("AutoModel"):
            mapping = getattr(modeling_auto, _MAPPINGS.get(name, ""), {})
            name = str(mapping.get(self.recipe.model.type, name))
        return "CausalLM" in name or name in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()

    @property
    def learns_words(self) -> bool:
        """Whether the head tells words, or halves of rows, from others: nothing is hidden and no token predicted."""
        contrasts = ("kmer2vec", "self_genomenet")
        return self.family is not None and self.family.model_type in contrasts and self.recipe.learns == "tokens"

    @property
    def tokenizer_files(self) -> list[Path]:
        """Files of `tokenizer.from`; none where the tokenizer is made here or comes with the weights."""
        if self.source is not None or "from" not in self.recipe.tokenizer:
            return []
        return [path for path in sorted(_tokenizer_folder(self.recipe).iterdir()) if path.suffix in (".json", ".txt")]

    @property
    def has_tokenizer(self) -> bool:
        """Whether the encoder is a tokenizer, and not a processor."""
        return hasattr(self.encoder, "pad_token_id")

    @property
    def accepted_inputs(self) -> set[str] | None:
        """Arguments that the model's `forward` takes; None where it takes any, or is chosen by an Auto class."""
        if not hasattr(self.model_class, "forward"):
            return None
        parameters = inspect.signature(self.model_class.forward).parameters
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        return None if anything else set(parameters)

    def make_model(self, outputs: dict[str, Any], seed: int, changes: dict[str, Any] | None = None) -> Any:
        """A model ready to train, its new weights drawn from `seed`.

        Args:
            outputs (`dict`): Fields of the configuration that the task decides; the recipe's go before them.
            seed (`int`): For new weights.
            changes (`dict`, *optional*): Fields of the configuration that replace the recipe's.
        """
        given = {**self.recipe.model.config, **(changes or {})}
        config = _config(self.recipe, self.family, self.source, self.encoder, {**outputs, **given})
        cls = self.model_class
        set_seed(seed)
        if self.source is not None:
            model, info = cls.from_pretrained(self.source, config=config, output_loading_info=True)
            self._refuse_missing(model, info["missing_keys"])
        else:
            model = cls.from_config(config) if cls.__name__.startswith("AutoModel") else cls(config)
        return _frozen(model) if self.recipe.model.freeze else model

    def _refuse_missing(self, model: Any, missing: Iterable[str]) -> None:
        """A pretrained encoder that is not there would be drawn anew without a word."""
        encoder, missing = f"{model.base_model_prefix}.", set(missing)
        # What a family builds on top of its language model is new, when nothing of it is there.
        on_top = tuple(encoder + name for name in getattr(model, "on_language_model", ()))
        top = {name for name in model.state_dict() if name.startswith(on_top)} if on_top else set()
        new = top if top <= missing else set()
        pools = f"{encoder}pool"
        lacking = sorted(n for n in missing - new if n.startswith(encoder) and not n.startswith(pools))
        if lacking:
            raise ValueError(
                f"{self.recipe.model.from_} lacks {lacking[0]} ({len(lacking)} weights of the encoder are missing), "
                f"so it is no {model.config.model_type}, as its config.json says; if it brings code of its own "
                "(auto_map), that is not run here"
            )


def _frozen(model: Any) -> Any:
    """The model with the weights of its encoder fixed, and no dropout in it."""
    encoder = model.base_model
    if encoder is model:
        raise ValueError(f"{type(model).__name__} has no head apart from its encoder; leave model.freeze out")
    encoder.requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def resolve(recipe: Recipe) -> Plan:
    """Find everything a recipe names; its source is fetched here and nowhere else.

    Raises:
        ValueError: a name that is not known (with the nearest one), a source that is no run folder, or options that
            do not fit each other.
        FileNotFoundError: no such source.
    """
    family = _family(recipe)
    head = _head(recipe, family)
    source = None if recipe.model.from_ is None else model_folder(recipe.model.from_)
    encoder = _encoder(recipe, family, source)
    config = _config(recipe, family, source, encoder, recipe.model.config)
    places = max_tokens(config) or recipe.tokenizer.get("max_length")
    if source is None and places is not None and getattr(encoder, "model_max_length", places) < places:
        encoder.model_max_length = places  # of a new tokenizer it is a guess
    return Plan(
        recipe=recipe, family=family, head=head, source=source, encoder=encoder, max_length=_max_length(recipe, config)
    )


def _family(recipe: Recipe) -> Family | None:
    name = recipe.model.type
    known = [family.model_type for family in FAMILIES]
    if name in known:
        return family_of(name)
    if name in CONFIG_MAPPING:
        return None
    hint = did_you_mean(name, known)
    raise ValueError(f"no model of type {name!r}; {hint}known: {', '.join(known)}, and those of transformers")


def _head(recipe: Recipe, family: Family | None) -> str:
    """Name of the Auto class or model class to train: the recipe's, or the default of its task."""
    head, wanted = recipe.model.head, _HEADS[recipe.learns]
    if family is None:
        if head is not None and not hasattr(transformers, head):
            raise ValueError(f"transformers has no model class {head!r}")
        if head is None and recipe.learns == "tokens":
            masked = recipe.model.type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
            return wanted[0] if masked else "AutoModelForCausalLM"
        return head or wanted[0]
    if head is None:
        head = next((name for name in wanted if name in family.models), None)
        if head is None:
            raise ValueError(
                f"{family.model_type} has no head for `{recipe.task}`; it has: {', '.join(family.models)}"
            )
        return head
    known = [*family.models, *family.models.values()]
    if head not in known:
        hint = did_you_mean(head, known)
        raise ValueError(f"{family.model_type} has no head {head!r}; {hint}known: {', '.join(known)}")
    return head


def _encoder(recipe: Recipe, family: Family | None, source: Path | None) -> Any:
    """Tokenizer or processor of the run, from the source where there is one."""
    kind = recipe.tokenizer.get("type")
    options = {key: value for key, value in recipe.tokenizer.items() if key not in _NOT_INIT}
    processor = kind == "processor" or (kind is None and family is not None and family.processor is not None)
    if source is not None:
        encoder = read_letter_by_letter((AutoProcessor if processor else AutoTokenizer).from_pretrained(source))
        for name, value in options.items():
            if hasattr(encoder, name) and getattr(encoder, name) != value:
                raise ValueError(
                    f"tokenizer.{name}={value!r}, but {recipe.model.from_} was trained with "
                    f"{getattr(encoder, name)!r}; leave it out, or train from scratch (model.from=null)"
                )
        return encoder
    if "from" in recipe.tokenizer:
        return _made_before(recipe, options)
    cls = _encoder_class(recipe, family, kind, processor)
    _check_options(cls, options)
    if processor and "config" in inspect.signature(cls.__init__).parameters:
        options = {"config": _config(recipe, family, None, None, recipe.model.config), **options}
    return cls(**options)


def _made_before(recipe: Recipe, options: dict[str, Any]) -> Any:
    """The tokenizer in the folder or repository `tokenizer.from`, such as `seqformers learn-tokens` writes."""
    if options or recipe.tokenizer.get("type") not in (None, "auto"):
        raise ValueError("tokenizer.from is a tokenizer made before; of other keys only max_length goes with it")
    folder = _tokenizer_folder(recipe)
    if not (folder / "tokenizer_config.json").is_file():
        raise ValueError(f"tokenizer.from={recipe.tokenizer['from']} holds no tokenizer (tokenizer_config.json)")
    return read_letter_by_letter(AutoTokenizer.from_pretrained(folder))


def _tokenizer_folder(recipe: Recipe) -> Path:
    return fetch_repository(recipe.tokenizer["from"])


def _encoder_class(recipe: Recipe, family: Family | None, kind: str | None, processor: bool) -> Any:
    if processor:
        if family is None or family.processor is None:
            raise ValueError(f"{recipe.model.type} has no processor; give a tokenizer")
        return getattr(import_module(family.processing_module), family.processor)
    if kind in (None, "auto"):
        if family is None or family.tokenizer is None:
            raise ValueError(f"{recipe.model.type} names no tokenizer of its own; set tokenizer.type=KmerTokenizer")
        kind = family.tokenizer.rpartition(":")[2]
    known = tokenizer_modules()
    if kind not in known:
        hint = did_you_mean(kind, [*known, "processor", "auto"])
        raise ValueError(f"no tokenizer {kind!r}; {hint}known: {', '.join(known)}, auto, processor")
    return getattr(import_module(known[kind]), kind)


def _check_options(cls: Any, options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs", "args")]
    for name in options:
        if name not in known:
            hint = did_you_mean(name, [*known, "max_length"])
            raise ValueError(f"unknown key 'tokenizer.{name}'; {hint}{cls.__name__} takes: {', '.join(known)}")


def _config(recipe: Recipe, family: Family | None, source: Path | None, encoder: Any, values: dict[str, Any]) -> Any:
    """Configuration with `values`; what the tokenizer decides (k, stride, vocabulary) is taken from it."""
    cls = getattr(import_module(family.config_module), family.config) if family else CONFIG_MAPPING[recipe.model.type]
    known = {item.name for item in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for name in recipe.model.config:
        if known and name not in known and name not in ("attn_implementation", "dtype"):
            hint = did_you_mean(name, known).strip()
            raise ValueError(f"unknown key 'model.config.{name}'{f'; {hint}' if hint else ''}")
    values = dict(values)
    ends = family is None and recipe.model.type not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    for name, found in _told_by(encoder, ends=ends).items():
        if name not in known:
            continue
        given = recipe.model.config.get(name)
        if name == "vocab_size" and source is not None and (read_config(source).get(name) or 0) >= found:
            continue  # the table of a pretrained model may have room to spare
        if name in ("molecule", "k", "k_max", "stride") and given is not None and given != found:
            raise ValueError(f"model.config.{name}={given} does not fit the tokenizer's {name}={found}")
        values.setdefault(name, found)
    try:
        return _made_config(recipe, cls, source, values)
    except StrictDataclassError as error:
        raise ValueError(f"model.config: {' '.join(str(error).split())}") from error


def _made_config(recipe: Recipe, cls: Any, source: Path | None, values: dict[str, Any]) -> Any:
    if source is not None:
        config = AutoConfig.from_pretrained(source, **values)
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


def _told_by(encoder: Any, *, ends: bool = False) -> dict[str, Any]:
    """Fields of a configuration that the tokenizer decides; with `ends` also where `generate` begins and ends."""
    names: tuple[str, ...] = ("molecule", "k", "k_max", "stride", "vocab_size")
    names += ("pad_token_id", "mask_token_id", "cls_token_id", "sep_token_id")
    found = {name: getattr(encoder, name, None) for name in names}
    if ends:
        found |= {"bos_token_id": found["cls_token_id"], "eos_token_id": found["sep_token_id"]}
    if found["k"] is None:  # a stock tokenizer may say it in its file
        found["k"] = (getattr(encoder, "init_kwargs", None) or {}).get("letters_per_token")
    residues = getattr(encoder, "residue_ids", None)
    if residues is not None:
        found |= {"first_residue_id": int(min(residues)), "last_residue_id": int(max(residues))}
    return {name: value for name, value in found.items() if value is not None}


def _max_length(recipe: Recipe, config: Any) -> int | None:
    """Tokens an input may have: `tokenizer.max_length`, or what the model's position table and chunks hold."""
    given = recipe.tokenizer.get("max_length")
    places = max_tokens(config)
    chunks = getattr(config, "max_chunks", 1)
    if places is not None and recipe.learns == "labels" and chunks > 1:
        places = (places - 2) * chunks + 2
    if given is not None and places is not None and given > places:
        raise ValueError(
            f"tokenizer.max_length={given} is more than the model holds ({places} tokens); raise "
            "model.config.max_position_embeddings or max_chunks, or lower it"
        )
    return given if given is not None else places
