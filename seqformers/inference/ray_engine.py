"""The same rows from many machines: Ray Data with an actor a GPU, or a core where there is none.

One task reads the file and hands out blocks of records as fast as they are worked off; actors that hold the model turn
blocks into rows; the rows come back in the order of the file. An actor that dies is started again and its block
computed again. Every machine sees the same files (model and sequences), as on a cluster's shared disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from seqformers.clusters import cluster
from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.hub.load import load_model
from seqformers.inference.windowing import Windowing
from seqformers.shards import Shard
from seqformers.tables import arrow_schema

__all__ = ["ENGINES", "RayJob", "ray_rows"]

ENGINES = ("local", "ray", "openvino")
_RECORDS, _LETTERS = 256, 1 << 19  # of a block: some seconds of work, which is what a lost actor costs


class _Record(NamedTuple):
    id: str
    sequence: str


@dataclass(frozen=True)
class RayJob:
    """What the actors do; it travels to them, so all of it can be pickled.

    Args:
        make_rows (`Callable`): `predict_records` or `embed_records`, its other options bound.
        schema (`Mapping`): Columns of the rows, as of `TableWriter`.
        model (`Path`): Folder of the model, on a disk that every machine sees.
        head (`str`): Auto class to load it with.
        sequences (`Path`): The file of records, likewise.
        molecule (`str`, *optional*): What its letters are.
        windowing (`Windowing`): How records are cut.
        batch_size (`int`): Windows a forward pass.
        device (`str`, *optional*): As the user named it.
        precision (`str`): As of `load_model`.
        on_error (`str`): As of `predict`.
        part (`Shard`): Which share of the records.
        skip (`int`): Records of the share whose rows are there already.
        block (`int`): Most records that an actor gets at once.
    """

    make_rows: Callable[..., Iterable[Mapping[str, Any]]]
    schema: Mapping[str, Any]
    model: Path
    head: str
    sequences: Path
    molecule: str | None
    windowing: Windowing
    batch_size: int
    device: str | None
    precision: str
    on_error: OnError
    part: Shard
    skip: int
    block: int = _RECORDS

    @property
    def arrow(self) -> Any:
        """The schema in which rows travel: no digit of a vector is lost on the way."""
        wide = {name: pa.list_(pa.float64()) if kind is list else kind for name, kind in self.schema.items()}
        return arrow_schema(wide)

    def read(self) -> Iterator[Any]:
        """Blocks of records as Arrow tables."""
        remarks = Remarks(self.on_error)
        records = read_fasta(self.sequences, molecule=self.molecule, remarks=remarks)  # type: ignore[arg-type]
        mine = itertools.islice(self.part.of_records(records, self.sequences), self.skip, None)
        names: list[str] = []
        letters: list[str] = []
        size = 0
        for record in mine:
            names.append(record.id)
            letters.append(record.sequence)
            size += len(record.sequence)
            if len(names) >= self.block or size >= _LETTERS:
                yield _block(names, letters)
                names, letters, size = [], [], 0
        if names:
            yield _block(names, letters)


def _block(names: list[str], letters: list[str]) -> Any:
    return pa.table({"id": names, "sequence": pa.array(letters, pa.large_string())})


class _Actor:
    """A model on its GPU or core."""

    def __init__(self, job: RayJob):
        self.job = job
        self.loaded = load_model(job.model, job.head, device=job.device, precision=job.precision)

    def __call__(self, block: Any) -> Any:
        records = map(_Record, block["id"].to_pylist(), block["sequence"].to_pylist())
        rows = self.job.make_rows(records, self.loaded, self.job.windowing, batch_size=self.job.batch_size)
        return pa.Table.from_pylist(list(rows), schema=self.job.arrow)


def ray_rows(job: RayJob, address: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a job, in the order of its records.

    Args:
        job (`RayJob`): The work.
        address (`str`, *optional*): Of a running cluster (`auto`, `host:port`); by default one is started on this
            machine and ended afterwards.

    Raises:
        ConnectionError: there is no cluster at `address`.
        OSError: no cluster could be started, or it gave up.
        ValueError: what reading or the model refused on one of the machines.
    """
    with cluster(address) as resources:
        for table in _tables(job, resources):
            yield from table.to_pylist()


def _tables(job: RayJob, resources: Mapping[str, float]) -> Iterator[Any]:
    import ray.data

    gpus = 0 if job.device == "cpu" else int(resources.get("GPU", 0))
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    try:
        # The one reader takes no core of its own: with an actor a core it would never get one.
        blocks = ray.data.read_datasource(_source(job), override_num_blocks=1, ray_remote_args={"num_cpus": 0})
        rows = blocks.map_batches(
            _Actor,
            fn_constructor_args=(job,),
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            concurrency=gpus or max(1, int(resources.get("CPU", 1))),
            **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
        )
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before


def _source(job: RayJob) -> Any:
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Records(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return job.sequences.stat().st_size

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            facts = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(job.read, facts)]

    return Records()
