"""Data sets by name: load one, or build it into a folder of Parquet files with a card, ready for the Hub.

A data set joins by one row in `DATASETS`. Its builder is a `datasets.GeneratorBasedBuilder` or `ArrowBasedBuilder`
under `datasets_scripts/<name>/`, with

- `BUILDER_CONFIGS` and `BUILDER_CONFIG_CLASS`, a dataclass whose fields are the options a user may set (beside the
  `name`, `version`, `data_dir`, `data_files`, `description` of `datasets.BuilderConfig`),
- the card as `README.md` in the builder's folder (YAML front matter and text),
- optionally `EXTRA_FILES`, names of files that it writes beside its Parquet files (`self._output_dir`),
- optionally `skips_table(number) -> bool`, asked before the table of that number of a split is made; where it says
  yes, `_generate_tables` gives None in its place (a build in shards then makes each table once),
- optionally `report(files) -> dict`, given `{split: [Parquet files]}` after a build; the dict becomes `report.json`,
  and `report_markdown(report) -> str` its section of the card.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqformers.clusters import runs_on_ray
from seqformers.dataset_shards import CALL, BuildCall, keep_tables, plain_tables, use_tables
from seqformers.files import Output, did_you_mean, finite, write_json, write_text
from seqformers.shards import Shard, ShardRecord

if TYPE_CHECKING:
    import datasets

__all__ = [
    "DATASETS",
    "build_dataset",
    "builder_class",
    "builder_options",
    "dataset_builder",
    "load_dataset",
    "merge_builds",
    "push_dataset",
]

# Data set name -> `module:Class` of its builder.
DATASETS: dict[str, str] = {
    "miraw": "seqformers.datasets_scripts.miraw.miraw:MirawBuilder",
    "cpf1": "seqformers.datasets_scripts.cpf1.cpf1:Cpf1Builder",
    "genomes": "seqformers.datasets_scripts.genomes.genomes:GenomesBuilder",
    "pfam": "seqformers.datasets_scripts.pfam.pfam:PfamBuilder",
    "phage": "seqformers.datasets_scripts.phage.phage:PhageBuilder",
    "plus_tasks": "seqformers.datasets_scripts.plus_tasks.plus_tasks:PlusTasksBuilder",
    "regulatory": "seqformers.datasets_scripts.regulatory.regulatory:RegulatoryBuilder",
    "tape": "seqformers.datasets_scripts.tape.tape:TapeBuilder",
}

_BASE_FIELDS = {"name", "version", "data_dir", "data_files", "description"}


def load_dataset(
    dataset: str,
    name: str | None = None,
    *,
    data_dir: str | Path | None = None,
    split: str | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
    **options: Any,
) -> Any:
    """Build a data set into the local cache and return it; a second call with the same input reads the cache.

    Args:
        dataset (`str`): A name in `DATASETS`.
        name (`str`, *optional*, defaults to the data set's default): Configuration.
        data_dir (`str` or `Path`, *optional*): The user's own files; what it may hold is said in the builder's card.
        split (`str`, *optional*): `"train"`, `"validation[:100]"`, ...; without it all splits come as a dict.
        streaming (`bool`, *optional*, defaults to `False`): Return an iterable data set that writes no cache.
        cache_dir (`str` or `Path`, *optional*): Where the cache lies; default the cache of `datasets`.
        **options: Options of the builder, for instance `seed=1`, `gc_match=True`.

    Returns:
        `Dataset` or `DatasetDict` (iterable ones when streaming).

    Raises:
        ValueError: unknown data set, configuration or option, or input that cannot be used; the message names it.
        FileNotFoundError: `data_dir` does not exist.

    Examples:
        ```python
        reads = seqformers.load_dataset("phage", name="reads-150", data_dir="genomes/", split="train")
        ```
    """
    builder = dataset_builder(dataset, name, data_dir=data_dir, cache_dir=cache_dir, **options)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    _prepare(builder)
    return builder.as_dataset(split=split)


def builder_class(dataset: str) -> type[datasets.DatasetBuilder]:
    """Return the builder class of `dataset`, or raise `ValueError` naming the known data sets."""
    if dataset not in DATASETS:
        raise ValueError(f"no data set {dataset!r}; {did_you_mean(dataset, DATASETS)}known: {', '.join(DATASETS)}")
    module, _, name = DATASETS[dataset].partition(":")
    return getattr(import_module(module), name)


def builder_options(dataset: str) -> dict[str, Any]:
    """Return the options of a data set's builder and their defaults (a configuration may set others)."""
    config = builder_class(dataset).BUILDER_CONFIG_CLASS
    return {
        field.name: field.default_factory() if callable(field.default_factory) else field.default  # type: ignore[misc]
        for field in dataclasses.fields(config)
        if field.name not in _BASE_FIELDS
    }


def dataset_builder(
    dataset: str,
    name: str | None = None,
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    **options: Any,
) -> datasets.DatasetBuilder:
    """Return the configured builder of a data set, its options and paths checked; see `load_dataset`."""
    cls = builder_class(dataset)
    known = builder_options(dataset)
    for option in options:
        if option not in known:
            hint = f"{did_you_mean(option, known)}known: {', '.join(known)}"
            raise ValueError(f"the data set {dataset!r} has no option {option!r}; {hint}")
    configs = [config.name for config in cls.BUILDER_CONFIGS]
    if name is not None and name not in configs:
        hint = f"{did_you_mean(name, configs)}known: {', '.join(configs)}"
        raise ValueError(f"the data set {dataset!r} has no configuration {name!r}; {hint}")
    if data_dir is not None and not Path(data_dir).exists():
        raise FileNotFoundError(f"no such file or folder: {data_dir}")
    return cls(
        config_name=name,
        data_dir=None if data_dir is None else str(data_dir),
        cache_dir=None if cache_dir is None else str(cache_dir),
        hash=_fingerprint(data_dir, options),
        **options,
    )


def _join_builds(shards: Sequence[ShardRecord], output: str | Path, **writing: Any) -> Path:
    return merge_builds(shards, output, **writing)  # stands below


@runs_on_ray("data_dir", local=("push_to_hub",), gpu=False, join=_join_builds)
def build_dataset(
    dataset: str,
    name: str | None = None,
    *,
    output: str | Path,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    push_to_hub: str | None = None,
    private: bool = False,
    max_shard_size: str | int = "500MB",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    **options: Any,
) -> Path:
    """Build a data set into `output` as a Hub data set repository: Parquet files, card, report, build record.

    The folder appears whole or not at all: work goes to `<output>.partial`. `datasets.load_dataset(output)` reads it.

    Args:
        dataset (`str`): A name in `DATASETS`.
        name (`str`, *optional*): Configuration.
        output (`str` or `Path`): Folder to write: `<config>/<split>-00000-of-00001.parquet`, `README.md`,
            `report.json` where the builder reports, `build.json`.
        data_dir (`str` or `Path`, *optional*): The user's own files.
        overwrite (`bool`, *optional*, defaults to `False`): Replace `output` if it is an earlier build.
        resume (`bool`, *optional*, defaults to `False`): Keep `output` if it is finished and of the same input and
            options; otherwise start again (downloads go on where they stopped).
        push_to_hub (`str`, *optional*): `owner/name` of the Hub repository to upload the folder to.
        private (`bool`, *optional*, defaults to `False`): Whether a repository created by the push is private.
        max_shard_size (`str` or `int`, *optional*, defaults to `"500MB"`): Largest Parquet file.
        shard (`str`, *optional*): `"i/n"`: make only the i-th of n shares of the tables; `seqformers.merge` makes the
            data set of the folders of all shares. Every share reads the whole input.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a core, and joins them.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        **options: Options of the builder.

    Returns:
        `Path`: `output`.
    """
    part = Shard.parse(shard)
    if part.count > 1 and push_to_hub is not None:
        raise ValueError("a shard is no data set; merge all, then seqformers push the folder")
    builder = dataset_builder(dataset, name, data_dir=data_dir, **options)
    settings = _settings(dataset, builder, data_dir, options) | part.settings
    inputs = [] if data_dir is None else [data_dir]
    with Output(
        output, "build", inputs=inputs, settings=settings, folder=True, overwrite=overwrite, resume=resume
    ) as folder:
        if not folder.finished:
            partial = folder.start()
            _clear(partial)
            if part.count > 1:
                keep_tables(builder, part, partial)
                _prepare(builder, output_dir=str(partial / "raw"), file_format="parquet")
                shutil.rmtree(partial / "raw")
                call = BuildCall(dataset, name, data_dir, max_shard_size, options)
                write_text(partial / CALL, call.as_text())
            else:
                if hasattr(builder, "_generate_tables"):
                    plain_tables(builder)
                _build(builder, partial, dataset, data_dir, options, max_shard_size)
            folder.finish()
    return _pushed(folder.path, push_to_hub, private)


def merge_builds(
    shards: Sequence[ShardRecord], output: str | Path, *, overwrite: bool = False, resume: bool = False
) -> Path:
    """The data set that the folders of all shards of a build make together; its input is read once more.

    Args:
        shards (sequence of `ShardRecord`): As `complete_shards` gives them.
        output (`str` or `Path`): Folder to write.
        overwrite (`bool`): Replace `output` if it is an earlier build.
        resume (`bool`): Keep a finished `output` of the same build.

    Raises:
        FileNotFoundError: the input is not where it was.
        ValueError: the input has changed since.
    """
    folders = [shard.path for shard in shards]
    call = BuildCall.from_text((folders[0] / CALL).read_text(encoding="utf-8"))
    builder = dataset_builder(call.dataset, call.name, data_dir=call.data_dir, **call.options)
    settings = _settings(call.dataset, builder, call.data_dir, call.options)
    if settings != shards[0].settings:
        raise ValueError(
            f"the input {call.data_dir} is not what it was when {folders[0]} was built; build all shards again"
        )
    inputs = [*folders, *([] if call.data_dir is None else [call.data_dir])]
    with Output(
        output, "build", inputs=inputs, settings=settings, folder=True, overwrite=overwrite, resume=resume
    ) as folder:
        if not folder.finished:
            partial = folder.start()
            _clear(partial)
            use_tables(builder, folders)
            _build(builder, partial, call.dataset, call.data_dir, call.options, call.max_shard_size)
            folder.finish()
    return folder.path


def _settings(dataset: str, builder: Any, data_dir: str | Path | None, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "config": builder.config.name,
        "options": {key: str(_without_folder(value)) for key, value in options.items()},
        "input": _fingerprint(data_dir, options),
    }


def _clear(partial: Path) -> None:
    """Remove what a killed build left: its files may be torn, so it starts again."""
    for left in partial.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _build(
    builder: Any,
    partial: Path,
    dataset: str,
    data_dir: str | Path | None,
    options: dict[str, Any],
    max_shard_size: str | int,
) -> None:
    try:
        _prepare(builder, output_dir=str(partial / "raw"), file_format="parquet", max_shard_size=max_shard_size)
        for name in getattr(builder, "EXTRA_FILES", ()):
            (partial / "raw" / name).rename(partial / name)
        files = _arrange(partial / "raw", partial / builder.config.name, list(builder.info.splits or {}))
        report = builder.report(files) if hasattr(builder, "report") else None
        if report is not None:
            _write_json(partial / "report.json", report)
        record = _build_record(dataset, builder, data_dir, options)
        _write_json(partial / "build.json", record)
        (partial / "README.md").write_text(_card(builder, record, report), encoding="utf-8")
    except BaseException:  # a failed or interrupted build leaves nothing behind, least of all on a full disk
        shutil.rmtree(partial, ignore_errors=True)
        partial.with_name(partial.name + ".json").unlink(missing_ok=True)
        raise


def push_dataset(folder: str | Path, repo_id: str, *, private: bool = False) -> str:
    """Upload a folder written by `build_dataset` to the Hub; return the address of the commit."""
    from seqformers.hub.push import push_to_hub

    pushed = push_to_hub(folder, repo_id, repo_type="dataset", private=private, message="Add data, card and report")
    return f"{pushed.url}/commit/{pushed.commit}"


def _prepare(builder: datasets.DatasetBuilder, **arguments: Any) -> None:
    """Run the builder; a mistake in the user's input comes out as itself, not wrapped in a generation error."""
    from datasets.exceptions import DatasetGenerationError

    try:
        builder.download_and_prepare(**arguments)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, (ValueError, OSError)):
            raise error.__cause__ from None
        raise


def _fingerprint(data_dir: str | Path | None, options: Mapping[str, Any]) -> str:
    """Hash what the input files are now, so that a changed file is never answered from an old cache."""
    from datasets.fingerprint import Hasher

    roots = [data_dir, *(value for value in options.values() if isinstance(value, (str, Path)))]
    found = []
    for root in map(Path, (root for root in roots if root)):
        if root.exists():
            paths = sorted(root.rglob("*")) if root.is_dir() else [root]
            stats = [(str(path), path.stat()) for path in paths if path.is_file()]
            found.append([(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats])
    return Hasher.hash([found, version("seqformers")])


def _arrange(raw: Path, folder: Path, splits: list[str]) -> dict[str, list[Path]]:
    """Rename the builder's Parquet files to the Hub's pattern and drop the rest."""
    folder.mkdir()
    files: dict[str, list[Path]] = {}
    for split in splits:
        found = sorted([*raw.glob(f"*-{split}.parquet"), *raw.glob(f"*-{split}-*-of-*.parquet")])
        files[split] = [
            path.rename(folder / f"{split}-{i:05d}-of-{len(found):05d}.parquet") for i, path in enumerate(found)
        ]
    shutil.rmtree(raw)
    for lock in folder.parent.glob("*.lock"):
        lock.unlink()
    return files


def _build_record(dataset: str, builder: Any, data_dir: str | Path | None, options: dict[str, Any]) -> dict[str, Any]:
    config = {
        field.name: _without_folder(getattr(builder.config, field.name))
        for field in dataclasses.fields(builder.config)
        if field.name not in _BASE_FIELDS
    }
    command = ["seqformers build", dataset, f"--config {builder.config.name}"]
    command += [] if data_dir is None else [f"--data-dir {Path(data_dir).name}"]
    command += [f"{key}={_without_folder(value)}" for key, value in options.items()]
    packages = ("seqformers", "datasets", "numpy", "pyarrow")
    return {
        "dataset": dataset,
        "config": builder.config.name,
        "command": " ".join(command),
        "options": config,
        "splits": {split: info.num_examples for split, info in (builder.info.splits or {}).items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _without_folder(value: Any) -> Any:
    """What a card may say of an option: of a path on this machine, the name only."""
    return Path(value).name if isinstance(value, (str, Path)) and value and Path(value).is_absolute() else value


def _card(builder: Any, record: dict[str, Any], report: dict[str, Any] | None) -> str:
    """Render the builder's README with the facts of this build: front matter, splits, options, report."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard, DatasetCardData

    template = Path(inspect.getfile(type(builder))).with_name("README.md")
    card = DatasetCard(template.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    data: Any = card.data or DatasetCardData()
    config, splits = record["config"], record["splits"]
    DatasetInfosDict({config: builder.info}).to_dataset_card_data(data)
    paths = [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits]
    MetadataConfigs({config: {"data_files": paths, "default": True}}).to_dataset_card_data(data)
    lines = ["", f"## This build: `{config}`", "", "```bash", record["command"], "```", ""]
    lines += ["| split | rows |", "|---|---:|", *(f"| {split} | {rows:,} |" for split, rows in splits.items()), ""]
    usual = builder_options(record["dataset"])
    changed = [f"`{key}={value}`" for key, value in record["options"].items() if value != usual[key]]
    lines += [
        "Options that are not the defaults: " + (", ".join(changed) or "none") + "; all are in `build.json`.",
        "",
    ]
    lines += ["Versions: " + ", ".join(f"{key} {value}" for key, value in record["versions"].items()) + ".", ""]
    if report is not None and hasattr(builder, "report_markdown"):
        lines += [builder.report_markdown(report), ""]
    card.text = card.text.rstrip() + "\n" + "\n".join(lines)
    return str(card)


def _pushed(output: Path, repo_id: str | None, private: bool) -> Path:
    if repo_id is not None:
        push_dataset(output, repo_id, private=private)
    return output


def _write_json(path: Path, content: Any) -> None:
    write_json(path, finite(json.loads(json.dumps(content, default=str))))
