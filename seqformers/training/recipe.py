"""Recipes: one YAML file and `key=value` overrides become checked dataclasses; a key nobody reads is an error.

A recipe is complete: written back with `to_yaml`, it repeats the run. What it leaves out takes its default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import TrainingArguments

from seqformers.files import did_you_mean
from seqformers.settings import read_pair, read_yaml

__all__ = ["TASKS", "BaselineRecipe", "DataRecipe", "ModelRecipe", "Recipe", "TuneRecipe", "load_recipe"]

TASKS = ("pretrain", "finetune", "probe")


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
    """

    type: str = "kmer_bert"
    head: str | None = None
    from_: str | None = None
    preset: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class DataRecipe:
    """Which rows, and what their columns mean.

    Args:
        dataset (`str`, *optional*): Name of a data set here (`phage`), built on first use.
        config (`str`, *optional*): Its configuration (`reads-150`).
        data_dir (`str`, *optional*): Where it finds its raw files.
        options (`dict`): Options of its builder.
        path (`str`, *optional*): Instead: a folder of Parquet files (as `build` writes it), or one Parquet file.
        columns (`dict`): Argument of the tokenizer or processor -> column; default `{text: sequence}`.
        label (`str`, *optional*): Column of the labels; not read when pretraining.
        group (`str`, *optional*): Column of what metrics within groups compare rows of; default the miRNA's, where
            the columns name one.
        splits (`dict`): `train`, `validation`, `test` -> name of the split in the data, or null.
        limits (`dict`): Split -> at most so many rows, drawn with the seed 0.
        name, licence, citation, url, hub_id, description (`str`, *optional*): For the card, where the data set does
            not know them itself.
    """

    dataset: str | None = None
    config: str | None = None
    data_dir: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    columns: dict[str, str] = field(default_factory=lambda: {"text": "sequence"})
    label: str | None = "label"
    group: str | None = None
    splits: dict[str, str | None] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    limits: dict[str, int] = field(default_factory=dict)
    name: str | None = None
    licence: str | None = None
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
    """

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_trials: int = 20
    metric: str | None = None
    timeout_minutes: float | None = None
    sampler_seed: int = 0
    prune: bool = True


@dataclass(kw_only=True)
class Recipe:
    """Everything a run depends on.

    Args:
        task (`str`): `pretrain`, `finetune` or `probe`.
        name (`str`, *optional*): Title of the card.
        description (`str`, *optional*): Paragraph of the card.
        license (`str`): Licence of the weights that come out.
        model (`ModelRecipe`): Network.
        tokenizer (`dict` or `"processor"`): `type` (`KmerTokenizer`, `ProteinTokenizer`, `auto`, `processor`),
            `max_length`, and what its class takes (`k`, `stride`); with `model.from` it is loaded from there.
        data (`DataRecipe`): Rows.
        masking (`dict`): Pretraining: arguments of the masking collator (`mlm_probability`; `span` of k-mers;
            `strategy`, `max_masked` of residues; `legacy`; `seed`, default the run's).
        training (`dict`): Fields of `transformers.TrainingArguments`.
        seeds (`list[int]`): One training run each.
        metrics (`list[str]`): Names in `seqformers.metrics.registry.METRICS`; the first chooses checkpoint and
            published seed.
        baselines (`BaselineRecipe`): Shortcuts.
        probe (`dict`): `c` (inverse strengths of the ridge to try on validation), `cache` (keep features on disk).
        tune (`TuneRecipe`): Search space of `tune`.
        portable (`bool`): Also write the form that stock transformers loads, where the family has one.
        power_watts (`float`, *optional*): Power draw assumed by the card's cost estimate.
        co2_kg_per_kwh (`float`): Carbon intensity assumed there.
    """

    task: str = "finetune"
    name: str | None = None
    description: str | None = None
    license: str = "apache-2.0"
    model: ModelRecipe = field(default_factory=ModelRecipe)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    data: DataRecipe = field(default_factory=DataRecipe)
    masking: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    metrics: list[str] = field(default_factory=list)
    baselines: BaselineRecipe = field(default_factory=BaselineRecipe)
    probe: dict[str, Any] = field(default_factory=dict)
    tune: TuneRecipe = field(default_factory=TuneRecipe)
    portable: bool = True
    power_watts: float | None = None
    co2_kg_per_kwh: float = 0.48

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, in the form of the YAML."""
        values = dataclasses.asdict(self)
        values["model"]["from"] = values["model"].pop("from_")
        return values

    def to_yaml(self) -> str:
        """The recipe as YAML; `load_recipe` of it gives the recipe again."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=110)


_NESTED = {"model": ModelRecipe, "data": DataRecipe, "baselines": BaselineRecipe, "tune": TuneRecipe}
_FREE = ("model.config", "data.options", "data.columns", "tokenizer", "training", "tune.space")
_KEYS = {
    "masking": ("mlm_probability", "span", "strategy", "max_masked", "legacy", "seed"),
    "probe": ("c", "cache"),
    "data.splits": ("train", "validation", "test"),
    "data.limits": ("train", "validation", "test"),
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
        ValueError: not YAML, an unknown key (with the nearest known one), or a value of the wrong kind.

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
    _check_keys(values)
    recipe = _build(values)
    _check_values(recipe)
    return recipe


def _read(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return read_yaml(yaml.safe_dump(dict(source)))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no such recipe: {path}")
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no recipe: expected keys such as model, data and training")
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


def _check_keys(values: Mapping[str, Any]) -> None:
    for key in values:
        _refuse_unknown(str(key), _names(Recipe), "")
    for section, cls in _NESTED.items():
        part = values.get(section)
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise ValueError(f"{section} must be a mapping of {', '.join(_names(cls))}; got {part!r}")
        for key in part:
            _refuse_unknown(str(key), _names(cls), f"{section}.")
    for place, known in _KEYS.items():
        for key in _at(values, place) or {}:
            _refuse_unknown(str(key), known, f"{place}.")
    for place in (*_FREE, *_KEYS):
        part = _at(values, place)
        if part is not None and not isinstance(part, Mapping):
            raise ValueError(f"{place} must be a mapping (key: value); got {part!r}")
    _check_training(values.get("training") or {})


def _at(values: Mapping[str, Any], place: str) -> Any:
    for part in place.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)  # type: ignore[assignment]
    return values


def _check_training(training: Mapping[str, Any]) -> None:
    known = [item.name for item in dataclasses.fields(TrainingArguments) if item.init]
    for key in training:
        if key in _OWN_TRAINING:
            raise ValueError(f"training.{key} is not set in a recipe: {_OWN_TRAINING[key]}")
        if key not in known:
            hint = did_you_mean(f"training.{key}", [f"training.{name}" for name in known])
            raise ValueError(
                f"unknown key 'training.{key}' in the recipe; {hint or 'see transformers.TrainingArguments'}"
            )


def _build(values: Mapping[str, Any]) -> Recipe:
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if value is None and key not in ("name", "description", "power_watts"):
            continue  # a key without a value means its default
        if key in _NESTED:
            part = {("from_" if name == "from" else name): entry for name, entry in value.items()}
            defaults = _NESTED[key]()
            for name in ("config", "options", "columns", "splits", "limits", "space"):
                if name in part and part[name] is None and isinstance(getattr(defaults, name, None), dict):
                    del part[name]
            if "splits" in part:
                part["splits"] = {**defaults.splits, **part["splits"]}  # type: ignore[attr-defined]
            value = _NESTED[key](**part)
        arguments[key] = value
    return Recipe(**arguments)


def _check_values(recipe: Recipe) -> None:
    if recipe.task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}; got {recipe.task!r}")
    data = recipe.data
    if (data.dataset is None) == (data.path is None):
        raise ValueError("give exactly one of data.dataset (a name such as phage) and data.path (a folder of Parquet)")
    seeds = recipe.seeds
    if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise ValueError(f"seeds must be a list of whole numbers such as [0, 1, 2]; got {seeds!r}")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must differ from each other; got {seeds}")
    if not data.columns:
        raise ValueError("data.columns must name at least one column, such as {text: sequence}")
    if recipe.task != "pretrain" and data.label is None:
        raise ValueError(f"`{recipe.task}` needs data.label, the column that holds the labels")
    if data.splits.get("train") is None:
        raise ValueError("data.splits.train must name a split of the data")
    for split, rows in data.limits.items():
        if not isinstance(rows, int) or rows < 1:
            raise ValueError(f"data.limits.{split} must be a number of rows; got {rows!r}")
