"""Cpf1 (Cas12a) guide activity of Kim et al. 2018 (Nature Biotechnology 36:239): indel frequencies in percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.sources import Source, fetch
from seqformers.datasets_scripts.cpf1.supplementary_tables import (
    DATA_SETS,
    find_sheets,
    find_table,
    only_table,
    read_activity_table,
)

__all__ = ["Cpf1Builder", "Cpf1Config", "read_weight"]

_TRAINING = ("ht_1_1", "hek_lenti")
# Splits of the configurations of several tables; of `ht`, validation is drawn from the first.
_SEVERAL = {
    "ht": {"train": "ht_1_1", "test": "ht_1_2", "test_ht_2": "ht_2", "test_ht_3": "ht_3"},
    "endogenous": {
        "train": "hek_lenti", "test": "hek_plasmid", "test_hct_plasmid": "hct_plasmid",
        "test_kleinstiver_2016": "kleinstiver_2016", "test_chari_2017": "chari_2017", "test_kim_2016": "kim_2016",
    },
}  # fmt: skip


@dataclass
class Cpf1Config(datasets.BuilderConfig):
    """Options of the Cpf1 builder.

    Args:
        validation (`int`, *optional*, defaults to 1500): Rows of HT 1-1 held out in the configuration `ht`.
        seed (`int`, *optional*, defaults to 0): Which rows those are.
        half_weight_reads (`float`, *optional*, defaults to 400): Reads at which a label weighs half as much as one of
            endless reads; see [`read_weight`].
        test_share (`float`, *optional*, defaults to 0.2): Share of the protospacers held out in the configuration
            `table`.
        url (`str`, *optional*): Address of the table or workbook, when there is no `data_dir`.
        md5 (`str`, *optional*): Its checksum.
    """

    validation: int = 1500
    seed: int = 0
    half_weight_reads: float = 400.0
    test_share: float = 0.2
    url: str | None = None
    md5: str | None = None


class Cpf1Builder(datasets.ArrowBasedBuilder):
    """Build one data set of the paper, or several.

    `ht`: HT 1-1 to train on, HT 1-2, HT 2 and HT 3 to test on; `endogenous`: HEK-lenti to train the second stage on,
    the other endogenous sets to test on; `table`: a table of your own, of any Cas12a enzyme.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = Cpf1Config
    BUILDER_CONFIGS: ClassVar[list[Cpf1Config]] = [
        Cpf1Config(name=name, version=datasets.Version("1.0.0")) for name in (*_SEVERAL, "table", *DATA_SETS)
    ]
    DEFAULT_CONFIG_NAME = "ht"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        return datasets.DatasetInfo(
            description=f"Cpf1 guide activity, {self.config.name}",
            features=datasets.Features(
                {
                    "id": datasets.Value("string"),
                    "target": datasets.Value("string"),
                    "context_50": datasets.Value("string"),
                    "accessible": datasets.Value("int8"),
                    "label": datasets.Value("float32"),
                    "reads": datasets.Value("int32"),
                    "weight": datasets.Value("float32"),
                }
            ),
            homepage="https://doi.org/10.1038/nbt.4061",
            license="not stated; the data belong to the authors",
            citation="Kim et al. 2018, Deep learning improves prediction of CRISPR-Cpf1 guide RNA activity, "
            "Nature Biotechnology 36:239",
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        name = self.config.name
        if name == "table":
            return self._own_table()
        wanted = _SEVERAL.get(name) or {"train" if name in _TRAINING else "test": name}
        found = {split: self._locate(dl_manager, which) for split, which in wanted.items()}
        missing = [wanted[split] for split, place in found.items() if place is None]
        if len(missing) == len(wanted) or wanted.get("train") in missing:
            raise ValueError(
                f"{self.config.data_dir or self.config.url} holds no table of {missing[0]}; expected a file such as "
                f"{missing[0]}.csv (or .xlsx, .tsv, .parquet) or a workbook with a sheet of that name"
            )
        if missing:
            datasets.logging.get_logger(__name__).warning(f"no table of {', '.join(missing)}: those splits are absent")
        generators = []
        for split, place in found.items():
            if place is not None:
                rows = {"which": wanted[split], "place": place}
                parts = ["train", "validation"] if name == "ht" and split == "train" else [split]
                generators += [datasets.SplitGenerator(name=part, gen_kwargs={**rows, "part": part}) for part in parts]
        return generators

    def _own_table(self) -> list[datasets.SplitGenerator]:
        if self.config.data_dir is None:
            raise ValueError(
                "give data_dir=FOLDER with your table: 34-letter targets and indel frequencies in percent"
            )
        if not 0 <= self.config.test_share < 1:
            raise ValueError(f"test_share={self.config.test_share} is no share to hold out; give 0 to 1, such as 0.2")
        rows = {"which": "table", "place": only_table(Path(self.config.data_dir))}
        parts = ["train", "test"] if self.config.test_share else ["train"]
        return [datasets.SplitGenerator(name=part, gen_kwargs={**rows, "part": part}) for part in parts]

    def _locate(self, dl_manager: datasets.DownloadManager, which: str) -> tuple[Path, str | None] | None:
        if self.config.data_dir is not None:
            return find_table(Path(self.config.data_dir), which)
        if self.config.url is None:
            raise ValueError(
                "give data_dir=FOLDER with the tables of the paper (Supplementary Table 1 of doi 10.1038/nbt.4061, "
                "one file a data set or the workbook), or url=ADDRESS and md5=SUM of one"
            )
        path = fetch(dl_manager, Source(urls=(self.config.url,), md5=self.config.md5))
        if path.suffix.lower() == ".xlsx" and (sheets := find_sheets(path, which)):
            return path, sheets[0]
        return (path, None) if self.config.name == which else None

    def _generate_tables(
        self, which: str, place: tuple[Path, str | None], part: str
    ) -> Iterator[tuple[Any, pa.Table]]:
        rows = read_activity_table(*place)
        rows.insert(0, "id", [f"{which}:{row}" for row in range(len(rows))])
        rows["weight"] = read_weight(rows["reads"].to_numpy(np.float64), self.config.half_weight_reads)
        if self.config.name == "ht" and which == "ht_1_1":
            rows = rows[self._held_out(len(rows)) == (part == "validation")]
        if which == "table":
            rows = rows[self._tested(rows["target"].str[8:31]) == (part == "test")]
        if len(rows):
            schema = self.info.features.arrow_schema
            columns = {name: pa.array(_values(rows[name]), schema.field(name).type) for name in schema.names}
            yield (which, part), pa.table(columns, schema=schema)

    def _held_out(self, count: int) -> np.ndarray:
        if not 0 <= self.config.validation < count:
            raise ValueError(f"validation={self.config.validation} leaves nothing of {count} rows to train on")
        held = np.zeros(count, dtype=bool)
        held[np.random.default_rng(self.config.seed).permutation(count)[: self.config.validation]] = True
        return held

    def _tested(self, protospacers: pd.Series) -> np.ndarray:
        """Which rows are held out: all rows of a protospacer, or none."""
        distinct, of = np.unique(protospacers.to_numpy(str), return_inverse=True)
        count = round(self.config.test_share * len(distinct))
        if self.config.test_share and not 0 < count < len(distinct):
            raise ValueError(
                f"test_share={self.config.test_share} of {len(distinct)} protospacers leaves nothing to train on or "
                "to test on; test_share=0 trains on all"
            )
        held = np.zeros(len(distinct), dtype=bool)
        held[np.random.default_rng(self.config.seed).permutation(len(distinct))[:count]] = True
        return held[of]

    def report(self, files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
        """Labels a split, and what other splits share with the training targets."""
        tables = {
            split: pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
            for split, paths in files.items()
        }
        train = tables.get("train")
        found: dict[str, Any] = {}
        for split, rows in tables.items():
            facts: dict[str, Any] = {
                "rows": len(rows),
                "label_min": float(rows.label.min()),
                "label_max": float(rows.label.max()),
                "label_mean": float(rows.label.mean()),
                "negative_labels": int((rows.label < 0).sum()),
                "repeated_targets": int(rows.target.duplicated().sum()),
                "targets_without_TTTV": int((~rows.target.str.match(r".{4}TTT[ACG]")).sum()),
            }
            if train is not None and split != "train":
                facts["targets_in_train"] = int(rows.target.isin(train.target).sum())
                facts["protospacers_in_train"] = int(rows.target.str[8:31].isin(train.target.str[8:31]).sum())
            found[split] = facts
        return found

    @staticmethod
    def report_markdown(report: Mapping[str, Mapping[str, Any]]) -> str:
        """The report as a table."""
        columns = list(dict.fromkeys(key for facts in report.values() for key in facts))
        lines = ["| split | " + " | ".join(columns).replace("_", " ") + " |", "|---" * (len(columns) + 1) + "|"]
        for split, facts in report.items():
            cells = [
                f"{facts[key]:.4g}" if isinstance(facts.get(key), float) else str(facts.get(key, ""))
                for key in columns
            ]
            lines.append(f"| {split} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def read_weight(reads: np.ndarray, half: float) -> np.ndarray:
    """Weight of a label measured by so many reads: `reads / (reads + half)`, scaled to mean 1; 1 where unknown.

    The error of a frequency falls with the number of reads, down to a floor that the experiment sets.

    Examples:
        >>> read_weight(np.array([100.0, 300.0]), 100.0).round(3).tolist()
        [0.8, 1.2]
    """
    weight = reads / (reads + half)
    known = np.isfinite(weight)
    return np.where(known, weight / (weight[known].mean() if known.any() else 1.0), 1.0)


def _values(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column]
