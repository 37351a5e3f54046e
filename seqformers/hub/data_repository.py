"""Write data sets as a repository of the Hub: Parquet, and a card whose YAML names configurations and classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["write_data_repository"]

SHARD_BYTES = 500 << 20


def write_data_repository(directory: str | Path, configs: Mapping[str, Any], *, card: str) -> Path:
    """Save `configs` so that `load_dataset(repo, config)` finds them, streaming included.

    Args:
        directory (`str` or `Path`): Folder to write into; created when missing.
        configs (`Mapping[str, DatasetDict]`): Configuration name -> its splits. The first is the default one unless
            one is called `default`.
        card (`str`): Text of `README.md`; its metadata block is kept and gains `configs` and `dataset_info`.

    Returns:
        `Path`: `directory`. It holds Parquet files and the card, and no script.

    Raises:
        ValueError: no configuration, or one without splits.
    """
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    if not configs or not all(configs.values()):
        raise ValueError("a data repository needs at least one configuration, each with a split")
    directory = Path(directory)
    files, infos = MetadataConfigs(), DatasetInfosDict()
    for config, splits in configs.items():
        patterns, sizes = [], SplitDict()
        for split, data in splits.items():
            written = _write_split(directory / config, str(split), data)
            patterns.append({"split": str(split), "path": f"{config}/{split}-*.parquet"})
            sizes[str(split)] = SplitInfo(str(split), num_bytes=data.data.nbytes, num_examples=len(data))
            sizes[str(split)].num_bytes = max(sizes[str(split)].num_bytes, sum(path.stat().st_size for path in written))
        files[config] = {"data_files": patterns}
        features = next(iter(splits.values())).features
        infos[config] = DatasetInfo(features=features, splits=sizes, config_name=config)
        infos[config].dataset_size = sum(size.num_bytes for size in sizes.values())
        infos[config].download_size = sum(path.stat().st_size for path in (directory / config).glob("*.parquet"))
    parsed = DatasetCard(card)
    infos.to_dataset_card_data(parsed.data)
    files.to_dataset_card_data(parsed.data)
    (directory / "README.md").write_text(str(parsed), encoding="utf-8")
    return directory


def _write_split(folder: Path, split: str, data: Any) -> list[Path]:
    """Write one split as numbered Parquet files of about `SHARD_BYTES`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{split}-*.parquet"):
        old.unlink()
    count = max(1, -(-data.data.nbytes // SHARD_BYTES))
    paths = []
    for index in range(count):
        path = folder / f"{split}-{index:05d}-of-{count:05d}.parquet"
        data.shard(num_shards=count, index=index, contiguous=True).to_parquet(path)
        paths.append(path)
    return paths
