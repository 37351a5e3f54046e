"""Jobs on a Ray cluster: its start, and any job that can be done in shards, joined into what a single run writes.

A shard is a task on a GPU, or on a core where there is none. A task that is lost with its worker is started again and
goes on with what it had written. Every machine sees the same files. (`inference.ray_engine` streams records to actors
instead, for jobs that are nothing but a record and a model.)
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tqdm import tqdm

from seqformers.datasets_scripts.common.streams import is_stream
from seqformers.files import Output, refuse_input
from seqformers.shards import complete_shards, merge_tables

__all__ = ["check_engine", "cluster", "run_shards", "runs_on_ray", "start_cluster"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_RETRIES = 3
# Patience and a fair share on a busy machine, and no word to anybody outside it.
_ENVIRONMENT = {
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_worker_niceness": "0",  # 15 would give all to whoever else is busy
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def check_engine(
    engine: str, address: str | None, *inputs: str | Path, known: Sequence[str] = ("local", "ray")
) -> bool:
    """Whether a job goes to a cluster.

    Args:
        engine (`str`): As the user named it.
        address (`str`, *optional*): Of a cluster.
        *inputs (`str` or `Path`): What the job reads.
        known (sequence of `str`): The engines that the job has.

    Raises:
        ValueError: an unknown engine, an address without ray, or ray where it cannot run.

    Examples:
        >>> check_engine("local", None, "contigs.fasta")
        False
    """
    if engine not in known:
        raise ValueError(f"engine is one of {', '.join(known)}, not {engine!r}")
    if engine != "ray":
        if address is not None:
            raise ValueError("--ray-address goes with --engine ray")
        return False
    for given in inputs:
        if is_stream(given):
            raise ValueError(f"{given} is a pipe, which other machines cannot read; --engine ray needs a file")
    _need_ray()
    return True


def _need_ray() -> None:
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ValueError("--engine ray needs Ray: pip install 'seqformers[ray]'") from error


@contextlib.contextmanager
def cluster(address: str | None = None) -> Iterator[dict[str, float]]:
    """A running cluster and what it has (`CPU`, `GPU`, ...): the one of this process, or one joined or started here.

    Args:
        address (`str`, *optional*): Of a running cluster (`auto`, `host:port`); by default one is started on this
            machine and ended afterwards.

    Raises:
        ConnectionError: there is no cluster at `address`.
        OSError: no cluster could be started, or it gave up.
        ValueError: what a job on one of the machines refused.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    started = not ray.is_initialized()
    if started:
        start_cluster(address)
    try:
        yield ray.cluster_resources()
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, (ValueError, OSError)):
            raise cause from None
        if isinstance(error, RayTaskError):
            raise
        raise OSError(f"the cluster gave up ({' '.join(str(error).split())[:300]}); --resume goes on") from error
    finally:
        if started:
            ray.shutdown()


def start_cluster(address: str | None = None, **options: Any) -> None:
    """Join a cluster, or start one on this machine, with patience where it is busy: the start is tried twice.

    Args:
        address (`str`, *optional*): Of a running cluster; by default one is started.
        **options: As of `ray.init`.

    Raises:
        ConnectionError: there is no cluster at `address`.
        OSError: it did not start.
    """
    import ray

    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options = {"logging_level": logging.ERROR, **options}
    if address is not None:
        ray.init(address=address, **options)
        return
    for last in (False, True):
        try:
            ray.init(include_dashboard=False, **options)
            return
        except (ValueError, TypeError):
            raise
        except Exception as error:  # Ray raises bare exceptions for what took too long
            ray.shutdown()
            if last:
                raise OSError(
                    f"Ray did not start on this machine, tried twice ({' '.join(str(error).split())[:200]}): try when "
                    "it is less busy, or start a cluster with `ray start --head` and pass --ray-address auto"
                ) from error


def runs_on_ray(
    *inputs: str,
    whole: Sequence[str] = (),
    local: Sequence[str] = (),
    gpu: bool = True,
    join: Callable[..., Any] = merge_tables,
) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Give a job that can be done in shards the engine `ray`: they run on a cluster and are joined.

    The job has the parameters `output`, `shard`, `overwrite`, `resume`, `engine` and `ray_address` (the last two are
    dealt with here), maybe `progress` and `device`, and all it is given can be pickled.

    Args:
        *inputs (`str`): Parameters that name the files it reads.
        whole (sequence of `str`): Parameters that name files made of the whole output; they are made here, at the end.
        local (sequence of `str`): Parameters that name what a cluster does not make.
        gpu (`bool`): Whether a shard takes a GPU where there is one.
        join (callable): Makes the output of the shards, as `merge_tables`.
    """

    def decorate(job: Callable[_P, _T]) -> Callable[_P, _T]:
        signature = inspect.signature(job)
        rest = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

        @wraps(job)
        def run(*given: _P.args, **options: _P.kwargs) -> _T:
            bound = signature.bind(*given, **options)
            bound.apply_defaults()
            values: dict[str, Any] = dict(bound.arguments)
            values |= values.pop(rest) if rest else {}
            sources = list(_files(values.get(name) for name in inputs))
            if not check_engine(values.pop("engine"), values.pop("ray_address"), *sources):
                return job(*given, **options)
            return _run_on_ray(run, values, bound.arguments["ray_address"], sources, whole, local, gpu, join)

        return run

    return decorate


def _files(given: Iterable[Any]) -> Iterator[str | Path]:
    for value in given:
        if isinstance(value, str | Path):
            yield value
        elif value is not None:
            yield from value


def _run_on_ray(
    job: Any,
    values: dict[str, Any],
    address: str | None,
    sources: list[str | Path],
    whole: Sequence[str],
    local: Sequence[str],
    gpu: bool,
    join: Callable[..., Any],
) -> Any:
    """A call of `job` as shards; then once more with the finished output, for what is made of it."""
    output, overwrite, resume = (values.pop(name) for name in ("output", "overwrite", "resume"))
    if progress := values.get("progress", False):
        values["progress"] = False  # the bar here counts shards
    if output is None:
        raise ValueError("name the table with --output: machines of a cluster cannot write to standard output")
    for name in ("shard", *local):
        if values.pop(name, None):
            how = "it makes its own" if name == "shard" else "add it afterwards, with --resume and without --engine"
            raise ValueError(f"--{name.replace('_', '-')} does not go with --engine ray; {how}")
    more = {name: value for name in whole if (value := values.pop(name, None))}
    for path in more.values():
        if isinstance(path, str | Path) and Path(path).exists() and not resume:
            raise FileExistsError(f"{path} is there, and is made last with --engine ray; choose another name for it")
    found = Path(output)
    if resume and found.exists() and not (found.is_dir() and not any(found.iterdir())):
        return job(**values, **more, output=output, resume=True)  # finished, or refused
    device = values.get("device") if gpu else "cpu"
    reports = run_shards(
        partial(job, **values), output, inputs=sources, address=address, device=device, overwrite=overwrite,
        resume=resume, progress=progress, join=join,
    )  # fmt: skip
    if more:
        job(**values, **more, output=output, resume=True)
    if not hasattr(reports[0], "join_shards"):
        return found
    reports[0].join_shards(reports[1:])
    return reports[0]


def run_shards(
    job: Callable[..., Any],
    output: str | Path,
    *,
    inputs: Iterable[str | Path] = (),
    address: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    join: Callable[..., Any] = merge_tables,
) -> list[Any]:
    """Run a job as shards on a cluster, and join what they write into what a single run writes, byte for byte.

    Args:
        job (callable): Takes `output`, `shard` and `resume`, and can be pickled.
        output (`str` or `Path`): Table or folder to write. The shards lie beside it, in `.<name>.shards.partial`,
            until it is whole.
        inputs (iterable of `str` or `Path`): What the job reads; the output must be none of it.
        address (`str`, *optional*): Of a running cluster (`auto`, `host:port`); by default one is started on this
            machine and ended afterwards.
        device (`str`, *optional*): `cpu` leaves the GPUs of the cluster alone.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Keep the shards of an interrupted run.
        progress (`bool`): Show on stderr how many are done.
        join (callable): Makes the output of the shards, as `merge_tables`.

    Returns:
        `list`: what the calls returned, in the order of the shards.

    Raises:
        FileExistsError: the output is there, or what lies where the shards go is not ours.
        ConnectionError: there is no cluster at `address`.
        OSError: another process is writing the same output, or the cluster gave up.
        ValueError: the output is an input, or what the job refused.
    """
    output = Path(output).absolute()
    refuse_input(output, inputs)
    if output.is_dir() and not any(output.iterdir()):
        pass  # as good as none
    elif output.exists() and not (overwrite or resume):
        raise FileExistsError(f"{output} is there already; --overwrite replaces it, --resume keeps it")
    beside = output.with_name(f".{output.name}.shards")
    with Output(beside, "shards", settings={"output": output.name}, folder=True, resume=resume) as place:
        folder = place.start()
        try:
            parts, answers = _on_cluster(job, folder, output.suffix, address, device, progress)
        except ValueError:
            if not any(folder.iterdir()):  # refused before any work
                place.discard()
            raise
        join(complete_shards(parts), output, overwrite=overwrite, resume=resume)
        place.discard()
    for message in dict.fromkeys(message for _, messages in answers for message in messages):
        warnings.warn(message, UserWarning, stacklevel=2)
    return [report for report, _ in answers]


def _on_cluster(
    job: Callable[..., Any], folder: Path, suffix: str, address: str | None, device: str | None, progress: bool
) -> tuple[list[Path], list[tuple[Any, list[str]]]]:
    """The shards' outputs in `folder`, one a GPU or core, and what `_run_shard` returned for each."""
    import ray

    with cluster(address) as resources:
        gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
        count = max(2, gpus or int(resources.get("CPU", 1)))
        each = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        task = ray.remote(max_retries=_RETRIES, **each)(_run_shard)
        parts = [folder / f"{number}-of-{count}{suffix}" for number in range(1, count + 1)]
        tasks = [task.remote(job, part, f"{number}/{count}", Path.cwd()) for number, part in enumerate(parts, 1)]
        try:
            left = tasks
            with tqdm(total=count, unit=" shards", leave=False, disable=not progress) as bar:
                while left:
                    done, left = ray.wait(left)
                    ray.get(done)  # an error ends the job at once
                    bar.update(len(done))
            return parts, ray.get(tasks)
        except BaseException:
            with contextlib.suppress(Exception):  # the cluster may be gone
                for one in tasks:
                    ray.cancel(one)
            raise


def _run_shard(job: Callable[..., Any], output: Path, shard: str, here: Path) -> tuple[Any, list[str]]:
    """One shard, relative paths being those of the process that asked; what it returns, and its warnings."""
    with contextlib.chdir(here), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        report = job(output=output, shard=shard, resume=True)
    return report, [str(warning.message) for warning in caught if warning.category is UserWarning]
