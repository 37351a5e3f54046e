"""Recipes: one YAML file and `key=value` overrides become checked dataclasses; a key nobody reads is an error.

A recipe is complete: written back with `to_yaml`, it repeats the run. What it leaves out takes its default.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import yaml
from transformers import TrainingArguments

from seqformers.datasets_scripts.common.options import as_declared, said_type
from seqformers.files import did_you_mean
from seqformers.metrics.lengths import length_bins
from seqformers.settings import read_pair, read_yaml
from seqformers.training.changed_rows import AUGMENT_KEYS, BALANCE_KEYS
from seqformers.training.fresh_reads import READ_KEYS

__all__ = ["TASKS", "VIEWS", "BaselineRecipe", "DataRecipe", "ModelRecipe", "Recipe", "TuneRecipe", "load_recipe"]

TASKS = ("pretrain", "finetune", "probe", "distill")
VIEWS = ("dropout", "reverse_complement", "genome")
_TRAINING_TYPES = get_type_hints(TrainingArguments)


@dataclass(kw_only=True)
class ModelRecipe:
    """Which network.

    Args:
        type (`str`): `model_type` of a family here, or of transformers (`bert`).
        head (`str`, *optional*): Auto class (`AutoModelForSequenceClassification`) or class name
            (`KmerBertForMaskedLM`); default by task.
        from_ (`str`, *optional*; `from` in YAML): Run folder or Hub repository to start from; null starts fresh.
        preset (`str`, *optional*): Named shape of the family (`plus_tfm`), which `config` then changes.
        config (`dict`): Fields of the family's configuration; with `from` they override the stored ones.
        freeze (`bool`): Train the head alone: the encoder stays as it is, without dropout.
    """

    type: str = "kmer_bert"
    head: str | None = None
    from_: str | None = None
    preset: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    freeze: bool = False


@dataclass(kw_only=True)
class DataRecipe:
    """Which rows, and what their columns mean.

    Args:
        dataset (`str`, *optional*): Name of a data set here (`phage`), built on first use.
        config (`str`, *optional*): Its configuration (`reads-150`).
        data_dir (`str`, *optional*): Where it finds its raw files.
        options (`dict`): Options of its builder.
        path (`str`, *optional*): Instead: a folder of Parquet files (as `build` writes it), or one Parquet file.
        reads (`dict`): `path` is genomes (as `build genomes` writes them), from which fresh reads are drawn in every
            epoch: `per_epoch` of them (100000), and `validation` and `test` fixed ones (2000 each); `length` (150, or
            `{lower, upper, bias}`), `gc_match`, `reverse_complement`, `weight`, `balance`, `max_unknown`, `classes`
            as in `seqformers.datasets_scripts.genomes.reads.ReadOptions`. Shortcuts learn from the first epoch's.
        columns (`dict`): Argument of the tokenizer or processor -> column; default `{text: sequence}`.
        label (`str` or `list[str]`, *optional*): Column of the labels, one a row or a list of them; or several columns
            of 0 and 1, a label each. Not read when pretraining.
        group (`str`, *optional*): Column of what metrics within groups compare rows of; default the miRNA's, where
            the columns name one.
        splits (`dict`): `train`, `validation`, `test` -> name of the split in the data, or null. Further test sets,
            scored in the same run, are `test_<name>`; those that the data lack are left out.
        limits (`dict`): Split -> at most so many rows, drawn with the seed 0.
        name, license (or `licence`), citation, url, hub_id, description (`str`, *optional*): For the card, where the
            data set does not know them itself.
    """

    dataset: str | None = None
    config: str | None = None
    data_dir: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    reads: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=lambda: {"text": "sequence"})
    label: str | list[str] | None = "label"
    group: str | None = None
    splits: dict[str, str | None] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    limits: dict[str, int] = field(default_factory=dict)
    name: str | None = None
    license: str | None = None
    citation: str | None = None
    url: str | None = None
    hub_id: str | None = None
    description: str | None = None


@dataclass(kw_only=True)
class BaselineRecipe:
    """Shortcuts measured beside the model.

    Args:
        names (`list[str]`, *optional*): Keys of `BASELINES`; null chooses by the kind of sequence, [] measures none.
        max_train_rows (`int`): At most so many training rows are used by the regressions.
    """

    names: list[str] | None = None
    max_train_rows: int = 200_000


@dataclass(kw_only=True)
class TuneRecipe:
    """Hyper-parameter search.

    Args:
        space (`dict`): `training.learning_rate` or `model.config.hidden_dropout_prob` -> `{low, high, log, step}` or
            `{choices: [...]}`.
        n_trials (`int`): Trials in all, those of an interrupted search included.
        metric (`str`, *optional*): What to optimise on validation; default the recipe's first metric.
        timeout_minutes (`float`, *optional*): Start no trial later than this.
        sampler_seed (`int`): Of the TPE sampler.
        prune (`bool`): Stop trials that are worse than the median of the others.
        startup_trials, warmup_steps (`int`): Trials, and steps of a trial, before any is stopped.
        patience (`int`): Evaluations without a better score before a trial may be stopped; 0: stop it at once.
    """

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_trials: int = 20
    metric: str | None = None
    timeout_minutes: float | None = None
    sampler_seed: int = 0
    prune: bool = True
    startup_trials: int = 5
    warmup_steps: int = 0
    patience: int = 0


@dataclass(kw_only=True)
class Recipe:
    """Everything a run depends on.

    Args:
        task (`str`): `pretrain`, `finetune`, `probe` or `distill`.
        name (`str`, *optional*): Title of the card.
        description (`str`, *optional*): Paragraph of the card.
        license (`str`): Licence of the weights that come out.
        model (`ModelRecipe`): Network.
        tokenizer (`dict` or `"processor"`): `type` (`KmerTokenizer`, `ProteinTokenizer`, `auto`, `processor`),
            `max_length`, and what its class takes (`k`, `stride`); or `from`, a folder with a tokenizer such as
            `seqformers learn-tokens` writes. With `model.from` it is loaded from there.
        data (`DataRecipe`): Rows.
        masking (`dict`): Pretraining: arguments of the masking collator (`mlm_probability`; `span` of k-mers;
            `strategy`, `max_masked` of residues; `legacy`; `seed`, default the run's); `then: {at, mlm_probability}`:
            another rate of k-mers from a step on (`at` below 1: a share of all steps).
        contrastive (`dict`): Pretraining by views instead of hidden tokens: `views` (`dropout`, the same sequence
            under two draws of dropout as in SimCSE; `reverse_complement`, its other strand; or `genome`, another read
            of its genome, with `data.reads.pairs: same`), `temperature` (0.05).
        distill (`dict`): Of `distill`: `teacher` (run folder or Hub repository), `temperature` (2), `share` of the
            teacher in the loss (0.5; the labels have the rest), `hidden` (weight of the distance of hidden states,
            0). With `data.label: null` a language model is taught; else a model of labels.
        balance (`dict`): Against rare classes: `weights` of the classes in the loss (`balanced`, or numbers),
            `focal_gamma` (rows that are right count less), `sampling` (true: every class equally often).
        augment (`dict`): Changes of the sequences of train, drawn anew in every epoch: `reverse_complement` (share of
            rows), `mutations` (chance of a letter), `shift` (up to so many letters are cut off one end).
        heads (`dict`): Pretraining of one encoder by several tasks at once: name -> `data` and, where they differ,
            `masking`, `metrics`, `balance`, `augment`, `baselines`, `weight` (of its loss, 1). A head whose
            `data.label` is null tells hidden tokens.
        training (`dict`): Fields of `transformers.TrainingArguments`.
        seeds (`list[int]`): One training run each.
        metrics (`list[str]`): Names in `seqformers.metrics.registry.METRICS`; the first chooses checkpoint and
            published seed.
        length_bins (`list[int]`): Also give the metrics of the rows up to the first length (letters of the first
            column), from there to the second, and so on, and of those above the last.
        baselines (`BaselineRecipe`): Shortcuts.
        probe (`dict`): `c` (inverse strengths of the ridge to try on validation), `cache` (keep features on disk),
            `shots` (also fit on so many rows a class, such as [1, 10], drawn `draws` times, default 20), `residues`
            (of labels of single residues: fit on about so many, drawn from all training rows, default 200,000).
        tune (`TuneRecipe`): Search space of `tune`.
        portable (`bool`): Also write the form that stock transformers loads, where the family has one.
        power_watts (`float`, *optional*): Power draw assumed by the card's cost estimate.
        co2_kg_per_kwh (`float`): Carbon intensity assumed there.
    """

    task: Literal["pretrain", "finetune", "probe", "distill"] = "finetune"
    name: str | None = None
    description: str | None = None
    license: str = "apache-2.0"
    model: ModelRecipe = field(default_factory=ModelRecipe)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    data: DataRecipe = field(default_factory=DataRecipe)
    masking: dict[str, Any] = field(default_factory=dict)
    contrastive: dict[str, Any] = field(default_factory=dict)
    distill: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    balance: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    metrics: list[str] = field(default_factory=list)
    length_bins: list[int] = field(default_factory=list)
    baselines: BaselineRecipe = field(default_factory=BaselineRecipe)
    probe: dict[str, Any] = field(default_factory=dict)
    tune: TuneRecipe = field(default_factory=TuneRecipe)
    portable: bool = True
    power_watts: float | None = None
    co2_kg_per_kwh: float = 0.48

    @property
    def learns(self) -> Literal["tokens", "views", "labels"]:
        """What a model is told: tokens of the sequences, which of them are one, or labels."""
        if self.task == "pretrain" and self.contrastive:
            return "views"
        unlabelled = self.task == "pretrain" or (self.task == "distill" and self.data.label is None)
        return "tokens" if unlabelled else "labels"

    def head_recipes(self) -> dict[str, Recipe]:
        """Of several heads the recipe of each: this one with what the head changes."""
        found = {}
        for name, head in self.heads.items():
            values = self.to_dict() | {"heads": {}, "name": f"{self.name}-{name}" if self.name else name}
            values |= {key: value for key, value in head.items() if key != "weight"}
            labelled = head["data"].get("label", "label") is not None
            values["task"] = "finetune" if labelled else "pretrain"
            found[name] = load_recipe(values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, in the form of the YAML."""
        values = dataclasses.asdict(self)
        values["model"]["from"] = values["model"].pop("from_")
        return values

    def to_yaml(self) -> str:
        """The recipe as YAML; `load_recipe` of it gives the recipe again."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=110)

    def without_folders(self) -> Recipe:
        """The recipe as others may see it: of an absolute path only the last part stays."""
        return _build(_without_folders(self.to_dict()))


_NESTED = {"model": ModelRecipe, "data": DataRecipe, "baselines": BaselineRecipe, "tune": TuneRecipe}
_PROBE = {"c": float | list[float], "cache": bool, "shots": list[int], "draws": int, "residues": int}
_CONTRASTIVE = {"views": str, "temperature": float}
_DISTILL = {"teacher": str, "temperature": float, "share": float, "hidden": float}
# Sections of keys that one task reads, and the tasks.
_OF_HEADS = ("data", "weight", "masking", "metrics", "balance", "augment", "baselines")
_READ_BY = {
    "contrastive": ("pretrain",),
    "distill": ("distill",),
    "balance": ("finetune", "distill"),
    "augment": ("finetune", "distill"),
}
_MASKING = {
    "mlm_probability": float,
    "span": int,
    "strategy": str,
    "max_masked": int,
    "legacy": bool | str,
    "seed": int,
    "then": dict[str, float],
}
_OWN_TRAINING = {
    "output_dir": "give --output",
    "seed": "give seeds: [...]",
    "overwrite_output_dir": "give --overwrite",
    "resume_from_checkpoint": "give --resume",
    "remove_unused_columns": "columns are chosen by data.columns",
    "do_train": "the command says it",
    "do_eval": "the command says it",
}
_SPLITS = ("train", "validation", "test")
# Smallest and largest value of a number.
_BOUNDS: dict[str, tuple[float, float]] = {
    "seeds": (0, 2**32 - 1),
    "power_watts": (0, math.inf),
    "co2_kg_per_kwh": (0, math.inf),
    "length_bins": (1, math.inf),
    "baselines.max_train_rows": (1, math.inf),
    "tune.n_trials": (1, math.inf),
    "tune.timeout_minutes": (0, math.inf),
    **{f"tune.{name}": (0, math.inf) for name in ("startup_trials", "warmup_steps", "patience")},
    "probe.c": (1e-12, math.inf),
    "probe.residues": (1, math.inf),
    "tokenizer.k": (1, 16),
    "tokenizer.k_max": (1, 8),
    "tokenizer.stride": (1, math.inf),
    "tokenizer.max_length": (1, math.inf),
    "masking.mlm_probability": (0, 1),
    "masking.span": (1, math.inf),
    "masking.then.at": (0, math.inf),
    "masking.then.mlm_probability": (0, 1),
    "masking.max_masked": (1, math.inf),
    "masking.seed": (0, 2**32 - 1),
    "contrastive.temperature": (1e-3, math.inf),
    "distill.temperature": (1e-3, math.inf),
    "distill.share": (0, 1),
    "distill.hidden": (0, math.inf),
    "balance.focal_gamma": (0, math.inf),
    "augment.reverse_complement": (0, 1),
    "augment.mutations": (0, 1),
    "augment.shift": (0, math.inf),
    **{f"data.reads.{name}": (1, math.inf) for name in ("per_epoch", "validation", "test")},
    "data.reads.max_unknown": (0, 1),
    **{f"data.limits.{split}": (1, math.inf) for split in _SPLITS},
    **{
        f"training.{name}": (1, math.inf)
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
    },
    **{
        f"training.{name}": (0, math.inf)
        for name in ("learning_rate", "weight_decay", "warmup_steps", "num_train_epochs", "dataloader_num_workers")
    },
    "training.max_steps": (-1, math.inf),
}


def load_recipe(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, task: str | None = None
) -> Recipe:
    """Read a recipe, apply overrides and check every key.

    Args:
        source (`str`, `Path` or `Mapping`): YAML file, or its content.
        overrides (`Sequence[str]`): `key=value`, the key dotted, the value YAML: `training.learning_rate=3e-4`.
        task (`str`, *optional*): The task asked for; a recipe that names another one is refused.

    Returns:
        `Recipe`

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, an unknown key (with the nearest known one), or a value of another type or out of
            bounds; the message names the key.

    Examples:
        >>> recipe = load_recipe({"data": {"path": "reads"}}, ["training.learning_rate=3e-4", "seeds=[0,1]"])
        >>> recipe.training["learning_rate"], recipe.seeds
        (0.0003, [0, 1])
    """
    values = _read(source)
    for override in overrides:
        _apply(values, override)
    if isinstance(values.get("tokenizer"), str):
        values["tokenizer"] = {"type": values["tokenizer"]}
    if isinstance(values.get("seeds"), int):
        values["seeds"] = [values["seeds"]]
    if isinstance(values.get("metrics"), str):
        values["metrics"] = [values["metrics"]]
    if isinstance(values.get("baselines"), list):
        values["baselines"] = {"names": values["baselines"]}
    if task is not None:
        found = values.setdefault("task", task)
        if found != task:
            raise ValueError(f"this recipe is for `seqformers {found}`, not `{task}`; set task={task} to change it")
    _check_plain(values, "")
    recipe = _build(values)
    _check_values(recipe)
    return recipe


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    local = isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~"))
    return Path(value).name if local else value


def _read(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return copy.deepcopy(dict(source))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no such recipe: {path}")
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML that can be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(
            f"{path} holds no recipe (is it empty or torn?): expected keys such as model, data and training"
        )
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `key=value`; the key may go through dicts that the recipe does not mention."""
    key, value = read_pair(override)
    *path, last = key.split(".")
    place = values
    for index, part in enumerate(path):
        if isinstance(place.get(part), str) and part == "tokenizer":
            place[part] = {"type": place[part]}
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise ValueError(f"cannot set {key!r}: {'.'.join(path[: index + 1])} is not a mapping in this recipe")
    place[last] = value


def _names(cls: type) -> list[str]:
    return ["from" if item.name == "from_" else item.name for item in dataclasses.fields(cls)]


def _refuse_unknown(key: str, known: Sequence[str], where: str) -> None:
    if key in known:
        return
    everywhere = [f"{prefix}.{name}" for prefix, cls in _NESTED.items() for name in _names(cls)]
    elsewhere = [name for name in everywhere if name.rpartition(".")[2] == key]
    hint = did_you_mean(key, known) or (f"it belongs under {elsewhere[0]!r}. " if elsewhere else "")
    raise ValueError(f"unknown key {where + key!r} in the recipe; {hint}known here: {', '.join(known)}")


def _check_plain(value: Any, where: str) -> None:
    """Refuse what is no plain value: everything in a recipe can be written as JSON."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} {f'in {where} ' if where else ''}must be a word")
            _check_plain(part, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for part in value:
            _check_plain(part, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; expected a finite number")
    elif not isinstance(value, (str, int, float, type(None))):
        raise ValueError(f"{where} holds a {type(value).__name__}; expected text, numbers, lists or mappings")


def _build(values: Mapping[str, Any]) -> Recipe:
    arguments = _section(Recipe, values, "")
    for name, cls in _NESTED.items():
        if name in arguments:
            arguments[name] = cls(**_section(cls, arguments[name], f"{name}."))
    recipe = Recipe(**arguments)
    recipe.data.splits = {**DataRecipe().splits, **recipe.data.splits}
    _check_free(recipe)
    return recipe


def _section(cls: type, values: Any, where: str) -> dict[str, Any]:
    """The arguments of a dataclass, each of its declared type; a key without a value means its default."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where[:-1]} must be a mapping of {', '.join(_names(cls))}; got {values!r}")
    hints = get_type_hints(cls)
    found = {}
    for key, value in values.items():
        key = "license" if key == "licence" else key  # both spellings were written
        _refuse_unknown(key, _names(cls), where)
        name = "from_" if key == "from" else key
        if not where and key in _NESTED:
            if value is not None:
                found[key] = value
            continue
        if value is None and not as_declared(None, hints[name])[0]:
            continue
        found[name] = _typed(where + key, value, hints[name])
    return found


def _typed(key: str, value: Any, wanted: Any) -> Any:
    """The value as the type `wanted`, within its bounds."""
    fits, typed = as_declared(value, wanted)
    if not fits:
        kind = "a mapping (key: value)" if get_origin(wanted) is dict else said_type(wanted)
        raise ValueError(f"{key} must be {kind}; got {value!r}")
    low, high = _BOUNDS.get(key, (-math.inf, math.inf))
    for number in typed if isinstance(typed, list) else [typed]:
        if isinstance(number, (int, float)) and not isinstance(number, bool) and not low <= number <= high:
            limits = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
            raise ValueError(f"{key} must be {limits}; got {number!r}")
    return value if isinstance(typed, float) else typed  # a whole number stays one as it was written


def _check_free(recipe: Recipe) -> None:
    """Sections whose keys are those of something else: the trainer, the masking collator, the tokenizer."""
    sections: dict[str, dict[str, Any]] = {
        "masking": _MASKING, "probe": _PROBE, "contrastive": _CONTRASTIVE, "distill": _DISTILL,
        "balance": BALANCE_KEYS, "augment": AUGMENT_KEYS,
    }  # fmt: skip
    for section, known in sections.items():
        part = getattr(recipe, section)
        for key, value in part.items():
            _refuse_unknown(key, list(known), f"{section}.")
            if value is not None:
                part[key] = _typed(f"{section}.{key}", value, known[key])
    _check_change(recipe.masking.get("then"))
    for key, value in recipe.data.reads.items():
        _refuse_unknown(key, list(READ_KEYS), "data.reads.")
        if value is not None:
            recipe.data.reads[key] = _typed(f"data.reads.{key}", value, READ_KEYS[key])
    for section, values in (("splits", recipe.data.splits), ("limits", recipe.data.limits)):
        for key, value in values.items():
            further = key.startswith("test_") and not recipe.data.reads
            _refuse_unknown("test" if further else key, _SPLITS, f"data.{section}.")
            _typed(f"data.{section}.{'test' if further else key}", value, Any)
    for key, value in recipe.tokenizer.items():
        if value is not None:
            wanted: Any = str if key in ("type", "from") else int if f"tokenizer.{key}" in _BOUNDS else Any
            recipe.tokenizer[key] = _typed(f"tokenizer.{key}", value, wanted)
    recipe.tokenizer = {key: value for key, value in recipe.tokenizer.items() if value is not None}
    _check_training(recipe.training)


def _check_change(change: dict[str, float] | None) -> None:
    """The change of a masking rate."""
    if change is None:
        return
    if set(change) != {"at", "mlm_probability"}:
        raise ValueError(f"masking.then must be {{at: step, mlm_probability: rate}}; got {change!r}")
    for key, value in change.items():
        _typed(f"masking.then.{key}", value, float)


def _check_training(training: dict[str, Any]) -> None:
    known = {item.name for item in dataclasses.fields(TrainingArguments) if item.init}
    for key, value in training.items():
        if key in _OWN_TRAINING:
            raise ValueError(f"training.{key} is not set in a recipe: {_OWN_TRAINING[key]}")
        if key not in known:
            hint = did_you_mean(f"training.{key}", [f"training.{name}" for name in known])
            raise ValueError(
                f"unknown key 'training.{key}' in the recipe; {hint or 'see transformers.TrainingArguments'}"
            )
        if value is not None:
            training[key] = _typed(f"training.{key}", value, _TRAINING_TYPES[key])


def _check_heads(recipe: Recipe) -> None:
    """Heads of a recipe: their keys, and that nothing stands beside them which they do not read."""
    if recipe.task != "pretrain":
        raise ValueError(f"heads are read by `pretrain`, not by `{recipe.task}`; leave them out")
    if recipe.data.path or recipe.data.dataset or recipe.contrastive:
        raise ValueError("with heads, data stands in each of them, and contrastive in none")
    for name, head in recipe.heads.items():
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"heads.{name}: a head is called by letters, digits, - and _")
        for key in head:
            _refuse_unknown(key, _OF_HEADS, f"heads.{name}.")
        if not isinstance(head.get("data"), dict):
            raise ValueError(f"heads.{name} needs data, such as {{path: data/{name}}}")
        weight = head.get("weight", 1.0)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < math.inf:
            raise ValueError(f"heads.{name}.weight must be a number above 0, got {weight!r}")
    recipe.head_recipes()


def _check_values(recipe: Recipe) -> None:
    data, seeds = recipe.data, recipe.seeds
    if recipe.heads:
        _check_heads(recipe)
    elif (data.dataset is None) == (data.path is None):
        raise ValueError("give exactly one of data.dataset (a name such as phage) and data.path (a folder of Parquet)")
    if data.reads and data.path is None:
        raise ValueError("data.reads draws from genomes; set data.path to the output of `seqformers build genomes`")
    if data.reads and data.limits:
        raise ValueError("data.limits is not read beside data.reads; set data.reads.per_epoch, validation, test")
    if not seeds:
        raise ValueError("seeds must be a list of whole numbers such as [0, 1, 2]; got []")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must differ from each other; got {seeds}")
    if recipe.model.freeze and recipe.task != "finetune":
        raise ValueError(f"model.freeze is of `finetune`, not of `{recipe.task}`; leave it out")
    length_bins([], recipe.length_bins)  # edges that do not rise are said before data are loaded
    if not data.columns:
        raise ValueError("data.columns must name at least one column, such as {text: sequence}")
    if recipe.task not in ("pretrain", "distill") and data.label is None:
        raise ValueError(f"`{recipe.task}` needs data.label, the column that holds the labels")
    if data.splits.get("train") is None:
        raise ValueError("data.splits.train must name a split of the data")
    for section, tasks in _READ_BY.items():
        if recipe.task not in tasks and any(value not in (None, False) for value in getattr(recipe, section).values()):
            raise ValueError(f"{section} is read by `{'` and `'.join(tasks)}`, not by `{recipe.task}`; leave it out")
    if recipe.task == "distill" and not recipe.distill.get("teacher"):
        raise ValueError("`distill` needs distill.teacher, the run folder or Hub repository that is learnt from")
    if recipe.task == "distill" and data.label is None and any([*recipe.balance.values(), *recipe.augment.values()]):
        raise ValueError("balance and augment are of labelled rows; leave them out where data.label is null")
    views = recipe.contrastive.get("views")
    if recipe.contrastive and views not in VIEWS:
        raise ValueError(f"contrastive.views must be one of {', '.join(VIEWS)}; got {views!r}")
    if (views == "genome") != (data.reads.get("pairs") == "same"):
        raise ValueError("contrastive.views=genome and data.reads.pairs=same, two reads of one genome, go together")
