"""The `seqformers` command: one verb a job, each a thin layer over a library function.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

# The jobs by user, as `seqformers` without arguments lists them.
_ANSWERS = "FASTA in, answers out"
_RUN = "With a model of your own, or from the Hub"
_TRAIN = "Build data and train"
_SHARE = "Publish, and look after the installation"


class _ByUser(TyperGroup):
    """The verbs in the order of who comes first: answers, own models, training, publishing."""

    def list_commands(self, ctx: Any) -> list[str]:
        panels = [_ANSWERS, _RUN, _TRAIN, _SHARE]
        return sorted(
            self.commands, key=lambda name: panels.index(getattr(self.commands[name], "rich_help_panel", ""))
        )


app = typer.Typer(
    name="seqformers",
    cls=_ByUser,
    help="Transformers for DNA, RNA and protein sequences: build data, train, predict, publish.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

# Parameters of several verbs.
RecipeFile = Annotated[Path, typer.Argument(help="Recipe, a YAML file.")]
Changes = Annotated[list[str] | None, typer.Argument(help="Changes as key=value, the key dotted.")]
RunFolder = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder; default runs/NAME of the recipe.")]
OverwriteRun = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")]
OnError = Annotated[
    Literal["raise", "skip"], typer.Option(help="At a record that cannot be used: raise, or skip it and count.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
Curves = Annotated[
    Path | None, typer.Option("--plot", help="Picture of losses and scores over steps (.png, .svg, .pdf).")
]
Part = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="i/n", help="Only the i-th of n shares of the work; `seqformers merge` joins them."
    ),
]


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


_quiet = False  # set once, by --quiet


@app.callback()
def _options(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Before the verb: no progress bars and no hints; warnings still come."),
    ] = False,
) -> None:
    """Transformers for DNA, RNA and protein sequences: build data, train, predict, publish.

    First time here? `seqformers doctor` looks at the installation; `seqformers VERB --help` shows an example to paste.
    """
    global _quiet
    _quiet = quiet


def _say(done: str, following: str = "") -> None:
    """On stderr: what was done and, as a hint, the command that people run next."""
    if not _quiet:
        typer.echo(done, err=True)
        if following:
            typer.echo(f"next: {following}", err=True)


def _shows_progress() -> bool:
    return not _quiet and sys.stderr.isatty()


@app.command(rich_help_panel=_TRAIN)
def build(
    dataset: Annotated[str, typer.Argument(help="Data set: one of those named by `seqformers build list`.")],
    options: Annotated[
        list[str] | None, typer.Argument(help="Your own files, and builder options as key=value, e.g. seed=1.")
    ] = None,
    *,
    config: Annotated[str | None, typer.Option("--config", "--name", help="Configuration of the data set.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Your own files (folder or table).")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload to this Hub data set, owner/name.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Create the Hub repository as private.")] = False,
    shard: Part = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier build.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep a finished build, else start it again.")] = False,
    show_options: Annotated[bool, typer.Option("--show-options", help="List configurations and options.")] = False,
) -> None:
    """Build a data set into Parquet files with a card and a report, ready for the Hub.

    A complete call:

        seqformers build phage --config reads-150 --data-dir genomes/ --output data/phage-150 seed=1 gc_match=true

    where `genomes/` holds one folder of FASTA files a class: `genomes/phage/*.fna.gz`, `genomes/non-phage/*.fna.gz`;
    folders of any other names, two or more, make other classes.

    Genomes as arrays, from which training draws fresh reads (`data.reads` of a recipe):

        seqformers build genomes genomes/ --output data/genomes
    """
    from seqformers import datasets as data
    from seqformers.datasets_scripts.common.leakage import report_lines
    from seqformers.settings import read_pairs

    if dataset == "list":
        typer.echo("\n".join(data.DATASETS))
        return
    if show_options:
        configs = ", ".join(known.name for known in data.builder_class(dataset).BUILDER_CONFIGS)
        typer.echo(f"configurations: {configs}\noptions and defaults:")
        typer.echo("\n".join(f"  {key}={value}" for key, value in data.builder_options(dataset).items()))
        return
    if output is None:
        raise ValueError("name the folder to write with --output FOLDER")
    words = list(options or [])
    if words and data_dir is None and "=" not in words[0] and ("/" in words[0] or Path(words[0]).exists()):
        data_dir = Path(words.pop(0))
    folder = data.build_dataset(
        dataset,
        config,
        output=output,
        data_dir=data_dir,
        overwrite=overwrite,
        resume=resume,
        push_to_hub=push_to_hub,
        private=private,
        shard=shard,
        **read_pairs(words),
    )
    if shard is not None:
        typer.echo(f"{folder}: shard {shard}; seqformers merge makes the data set of all of them")
        return
    if (folder / "report.json").is_file():
        for line in report_lines(json.loads((folder / "report.json").read_text(encoding="utf-8"))):
            typer.echo(line)
    typer.echo(f"{folder}: read it with datasets.load_dataset({str(folder)!r}); card and report are in it")


@app.command(rich_help_panel=_SHARE)
def convert(
    name: Annotated[
        str, typer.Argument(help="Which project's weights, for example targetnet; --list shows all.")
    ] = "",
    source: Annotated[Path | None, typer.Argument(help="Its weight file or folder.")] = None,
    output: Annotated[Path | None, typer.Argument(help="Folder to write: a complete Hub repository.")] = None,
    full: Annotated[
        Path | None,
        typer.Option(
            help="deepcpf1: DeepCpf1_weights.h5, adds the accessibility. plus: the LM under a P-ELMo encoder."
        ),
    ] = None,
    stride: Annotated[int | None, typer.Option(help="dnabert: bases between k-mers; 1 if absent.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the converters and stop.")] = False,
) -> None:
    """Convert published weights of an original project into a Hub repository of this package.

    Example: `seqformers convert targetnet TargetNet.pt targetnet-published`

    Example: `seqformers convert deepcpf1 Seq_deepCpf1_weights.h5 deepcpf1-published --full DeepCpf1_weights.h5`

    Example: `seqformers convert dnabert 6-new-12w-0/ dnabert-6-published`
    """
    from seqformers import convert as room

    if show:
        for known, (_, what) in sorted(room.CONVERTERS.items()):
            typer.echo(f"{known}\t{what}")
        return
    if not name or source is None or output is None:
        raise ValueError("give NAME SOURCE OUTPUT, for example: seqformers convert targetnet TargetNet.pt OUT")
    typer.echo(f"wrote {room.convert(name, source, output, full=full, stride=stride, overwrite=overwrite)}", err=True)


@app.command("scan-targets", rich_help_panel=_ANSWERS)
def scan_targets(
    mirna: Annotated[Path, typer.Option(help="FASTA of mature miRNAs, 5'->3', 10 to 41 nt; - is standard input.")],
    mrna: Annotated[Path, typer.Option(help="FASTA of 3'UTRs or other targets, 5'->3'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Table with columns mirna_id and mrna_id; else all pairs.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or Hub name; pair_cnn (the default) or targetnet is in the package.")
    ] = None,
    sites: Annotated[bool, typer.Option("--sites", help="One row a site instead of one a pair.")] = False,
    windows: Annotated[
        bool, typer.Option("--windows", help="TargetNet's own 40-nt windows, as published, in place of sites.")
    ] = False,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="TargetNet's candidates: targetnet, miraw-6-1:10, miraw-7-1:10, miraw-7-2:10, targetscan, pita, all."
        ),
    ] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Distance of TargetNet's windows, nt; else 1.")] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Read every window with the whole network, ten times slower.")
    ] = False,
    energy: Annotated[
        bool, typer.Option("--energy/--no-energy", help="Duplex energies, where ViennaRNA is installed.")
    ] = True,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out pairs (with --sites, sites) that score less, 0 to 1.")
    ] = 0.0,
    on_error: OnError = "raise",
    shard: Part = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures of the ten best pairs' sites.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Worker threads; else one a core.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    resume: Resume = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Score which mRNAs each microRNA acts on: a table with the best site and its alignment, one row a pair.

    A complete call, with the model that comes with the package:

        seqformers scan-targets --mirna mirnas.fa --mrna utrs.fa --output targets.tsv

    Columns: mirna_id, mrna_id, score (of all sites together), num_sites, best_start and best_end (the best one's seed
    match, 0-based, half-open, on the 5'->3' mRNA), site_type, alignment (miRNA 5'->3' / marks / mRNA 3'->5'),
    best_score, energy (kcal/mol, with the extra rna). --sites lists every canonical seed match, and other places that
    score 0.5 or more.

    Read scores (0 to 1) as ranks among the mRNAs of one miRNA, not as probabilities: many mRNAs hold a good site that
    does little.

    A small network finds the places that the whole one reads; --exhaustive has it read everything.

    --model targetnet, --windows and --criterion answer with a TargetNet. With --windows rows are windows of 40 nt as
    the original makes them: a site shows in several, and one in the first 24 or the last 4 nt of an mRNA in none.
    """
    from seqformers.targets.scan import scan_target_files

    report = scan_target_files(
        mirna, mrna, output, pairs=pairs, model=model, sites=sites, windows=windows, criterion=criterion, step=step,
        exhaustive=exhaustive, energy=energy, min_score=min_score, on_error=on_error, shard=shard,
        overwrite=overwrite, resume=resume, threads=threads, device=device, progress=not (quiet or _quiet), plot=plot,
    )  # fmt: skip
    for line in report.lines():
        typer.echo(f"warning: {line}", err=True)
    before = f" ({report.resumed:,} of them before the interruption)" if report.resumed else ""
    done = "is finished, nothing was left to do" if report.finished else f"{report.pairs:,} pairs scored{before}"
    _say(
        f"{output}: {done}",
        "" if plot else "the same with --sites lists every site, with --plot FOLDER draws the best",
    )


@app.command(rich_help_panel=_SHARE)
def push(
    run: Annotated[Path, typer.Argument(help="Folder of a run, of a converted model, or of a built data set.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub: user/name, or name for your own account.")],
    kind: Annotated[str, typer.Option("--type", help="model, dataset or space; seen from the folder if absent.")] = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to, made when missing.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of pushing.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag of this version; the next of v1, v2, ... if absent.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Commit message.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Pattern of more files to send, as 'figures/*.png'; repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of another family.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the folder, list files and sizes, stop.")] = False,
) -> None:
    """Push a finished folder to the Hub: card checked first, one commit, what changed only, tagged.

    What a run, a converted model, a data set or a Space consists of goes; everything else is listed as left out, and
    goes with --include. Files that may hold secrets and pickles never go.

    See what would go, then push:

        seqformers push runs/phage-150 me/phage-150 --dry-run

        seqformers push runs/phage-150 me/phage-150 --private
    """
    from seqformers.hub import push as hub

    kind = kind or hub.kind_of(run)
    if dry_run:
        plan = hub.plan_push(run, repo, repo_type=kind, include=include or ())
        for file in plan.files:
            typer.echo(f"{file.size:>14,}  {file.path}")
        for path, reason in plan.left_out.items():
            typer.echo(f"{'left out':>14}  {path} ({reason})")
        typer.echo(f"{plan.size:>14,}  bytes in {len(plan.files)} files would go to {repo} ({kind}); nothing was sent")
        return
    pushed = hub.push_to_hub(
        run,
        repo,
        repo_type=kind,
        include=include or (),
        private=private,
        revision=revision,
        create_pr=create_pr,
        tag=tag,
        message=message,
        overwrite=overwrite,
    )
    for path, reason in pushed.plan.left_out.items():
        typer.echo(f"left out {path} ({reason})", err=True)
    state = f"commit {pushed.commit[:8]}" if pushed.changed else "nothing had changed"
    tagged = f", tag {pushed.tag}" if pushed.tag else ""
    typer.echo(f"{pushed.pull_request or pushed.url}: {state}{tagged}", err=True)
    typer.echo(pushed.snippet)


@app.command(rich_help_panel=_SHARE)
def publish(
    folder: Annotated[Path, typer.Argument(help="Holds models/NAME, datasets/NAME, spaces/NAME.")],
    org: Annotated[str, typer.Option(help="Organisation or user on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag of this version on all; v1, v2, ... of each if absent.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, list what would go, stop.")] = False,
) -> None:
    """Push all repositories of a release, each as `push` does; run it again after an interruption.

    `make release` writes `dist/hub`. See what would go, then publish:

        seqformers publish dist/hub --org my-lab --dry-run

        seqformers publish dist/hub --org my-lab --private
    """
    from seqformers.hub.publish import plan_all
    from seqformers.hub.publish import publish as push_all

    if dry_run:
        planned = plan_all(folder, org)
        for repository in planned:
            files = len(repository.plan.files)
            typer.echo(f"{repository.plan.size:>14,}  {repository.repo_id} ({repository.kind}, {files} files)")
        typer.echo(f"{sum(one.plan.size for one in planned):>14,}  bytes; nothing was sent")
        return
    push_all(folder, org, private=private, tag=tag, said=_say)


@app.command(rich_help_panel=_TRAIN)
def pretrain(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    plot: Curves = None,
    resume: Resume = False,
) -> None:
    """Pretrain a masked language model by a recipe; the run folder is a Hub repository.

    A complete call:

        seqformers pretrain benchmarks/recipes/virbert/pretrain.yaml data.path=data/pretrain seeds=[0] --output runs/pt

    Resume after a kill by adding `--resume`. Every key of the recipe can be changed, for example
    `training.learning_rate=5e-4 model.config.num_hidden_layers=6`.
    """
    _train("pretrain", recipe, overrides, output, plot=plot, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=_TRAIN)
def finetune(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    plot: Curves = None,
    resume: Resume = False,
) -> None:
    r"""Fine-tune on labels, from a pretrained run or from scratch (`model.from=null`), several seeds in one go.

    A complete call:

        seqformers finetune benchmarks/recipes/virbert/finetune-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/ft

    Prints mean and spread over the seeds beside the shortcut baselines.
    """
    _train("finetune", recipe, overrides, output, plot=plot, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=_TRAIN)
def probe(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    resume: Resume = False,
) -> None:
    r"""Fit only the last layer on features of the frozen model, computed once and kept.

    A complete call:

        seqformers probe benchmarks/recipes/virbert/probe-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/probe
    """
    _train("probe", recipe, overrides, output, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=_TRAIN)
def tune(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    resume: Resume = False,
) -> None:
    r"""Search hyper-parameters with Optuna (`pip install seqformers[tune]`); writes the best recipe.

    A complete call:

        seqformers tune benchmarks/recipes/virbert/tune-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/tune

    then `seqformers finetune runs/tune/best.yaml --output runs/best`.
    """
    _train("tune", recipe, overrides, output, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=_TRAIN)
def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub repository (owner/name).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes to its recipe, e.g. data.path=other.")] = None,
    *,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Parquet file for label and scores of every row.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Also fit and score the shortcuts.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Picture of ROC, precision and recall, calibration, confusion (.png, .svg, .pdf)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output files.")] = False,
) -> None:
    """Score a run on its test rows, or on other rows of the same form.

    A complete call:

        seqformers evaluate runs/ft data.path=data/reads-1000 --baselines --output scores.json --plot scores.png
    """
    from seqformers.training.evaluation import evaluate as score
    from seqformers.training.report import print_scores

    result = score(
        run,
        overrides or [],
        split=split,
        output=output,
        predictions=predictions,
        baselines=baselines,
        plot=plot,
        overwrite=overwrite,
    )
    print_scores(f"{run} on {split}", {split: result["metrics"]}, result.get("baselines", {}), split)


def _train(
    task: str,
    recipe: Path,
    overrides: list[str] | None,
    output: Path | None,
    *,
    plot: Path | None = None,
    overwrite: bool,
    resume: bool,
) -> None:
    from seqformers.training.recipe import load_recipe
    from seqformers.training.report import print_run

    if plot is not None and plot.exists() and not (overwrite or resume):  # before hours of training
        raise FileExistsError(f"{plot} is there; choose another name or replace it with --overwrite")
    words = list(overrides or [])
    output = output or Path("runs") / recipe.stem
    command = " ".join(["seqformers", task, recipe.name, *words])
    if task == "tune":
        from seqformers.training.tuning import tune as search

        folder = search(load_recipe(recipe, words), output, overwrite=overwrite, resume=resume, command=command)
        typer.echo(f"best recipe: {folder / 'best.yaml'}")
        _say("the search is in it", f"seqformers finetune {folder / 'best.yaml'} --output runs/best")
        return
    from seqformers.training.running import train

    loaded = load_recipe(recipe, words, task=task)
    try:
        folder = train(loaded, output, overwrite=overwrite, resume=resume, command=command)
    except KeyboardInterrupt:  # Typer would end without a word
        typer.echo("interrupted; run the same command with --resume to go on", err=True)
        raise typer.Exit(130) from None
    print_run(folder)
    if plot is not None:
        from seqformers.training.plots import save_curves

        save_curves(folder, plot, overwrite=overwrite or resume)
    after = {
        "pretrain": f"seqformers finetune RECIPE model.from={folder} data.path=LABELLED   # or probe",
        "probe": f"seqformers finetune RECIPE model.from={folder} data.path=LABELLED",
        "finetune": f"seqformers predict {folder} contigs.fasta --output table.tsv   # or push {folder} you/name",
    }
    _say(f"run folder, a Hub repository: {folder}", after[task])


_Run = Annotated[str, typer.Argument(help="Run folder, or Hub repository (owner/name).")]
_Sequences = Annotated[Path, typer.Argument(help="FASTA or FASTQ file, plain or compressed; - for standard input.")]
_Window = Annotated[
    int | None, typer.Option(min=1, help="Bases (residues) a window; default: what the model was trained on.")
]
_Step = Annotated[int | None, typer.Option(min=1, help="Distance between windows; default: the window.")]
_BothStrands = Annotated[bool, typer.Option("--both-strands", help="Average over both strands of DNA.")]
_BatchSize = Annotated[int, typer.Option(min=1, help="Windows a forward pass; the answer does not depend on it.")]
_OnError = Annotated[str, typer.Option(help="At a bad record: raise, or skip it and count.")]
_Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU when there is one.")]
_Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"],
    typer.Option(help="bf16 is faster where the hardware has it, and less exact; auto: bf16 where it has; int8: CPU."),
]
_Engine = Annotated[
    Literal["local", "ray", "openvino"],
    typer.Option(help="ray: an actor a GPU or core of a cluster that sees the files; openvino: faster on a CPU."),
]
_RayAddress = Annotated[
    str | None, typer.Option(help="Of a running Ray cluster, auto or host:port; default: one on this machine.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted output.")]


@app.command(rich_help_panel=_RUN)
def predict(
    run: _Run,
    sequences: _Sequences,
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    per: Annotated[
        Literal["record", "residue"], typer.Option(help="Models that label residues: a row a record, or a residue.")
    ] = "record",
    window: _Window = None,
    step: _Step = None,
    both_strands: _BothStrands = False,
    batch_size: _BatchSize = 64,
    device: _Device = None,
    precision: _Precision = "fp32",
    on_error: _OnError = "raise",
    shard: Part = None,
    engine: _Engine = "local",
    ray_address: _RayAddress = None,
    overwrite: _Overwrite = False,
    resume: _Resume = False,
) -> None:
    """Classify every record of a FASTA file: columns id, label, score (of the positive class), num_windows.

    Example: `seqformers predict demo/run contigs.fasta --output preds.tsv --both-strands`

    A model that labels residues (secondary structure, topology) gives a string of letters and a string of confidences
    (0 to 9) a record, with `--per residue` the columns id, position (from 1), residue, label, score, and segments as
    GFF3 where OUTPUT ends in .gff3.
    """
    from seqformers.inference.predict import predict as run_predict
    from seqformers.inference.residues import labels_residues, predict_residues

    if labels_residues(run):
        given = {"--window": window, "--step": step, "--both-strands": both_strands}
        given |= {"--engine": engine != "local", "--precision": precision != "fp32"}
        for name, value in given.items():
            if value:
                raise ValueError(f"{name} is of models of whole records; {run} labels residues: leave it out")
        path = predict_residues(
            run, sequences, output, per=per, batch_size=batch_size, device=device, on_error=on_error, shard=shard,
            overwrite=overwrite, resume=resume, progress=_shows_progress(),
        )  # fmt: skip
        _say(f"wrote {path}")
        return
    if per == "residue":
        raise ValueError(f"{run} scores whole records; --per residue needs a model that labels residues")

    path = run_predict(
        run, sequences, output, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
        device=device, precision=precision, on_error=on_error, shard=shard, engine=engine, ray_address=ray_address,
        overwrite=overwrite, resume=resume, progress=_shows_progress(),
    )  # fmt: skip
    _say(f"wrote {path}", f"seqformers explain {run} {sequences} --output explained   # which bases decide")


@app.command(rich_help_panel=_RUN)
def embed(
    run: _Run,
    sequences: _Sequences,
    output: Annotated[Path, typer.Option("--output", "-o", help="Vectors: .parquet or .jsonl.")],
    pooling: Annotated[str, typer.Option(help="mean (over sequence tokens only) or cls.")] = "mean",
    layer: Annotated[int, typer.Option(help="Hidden states to take: -1 the last, 0 the embeddings.")] = -1,
    window: _Window = None,
    step: _Step = None,
    both_strands: _BothStrands = False,
    batch_size: _BatchSize = 64,
    device: _Device = None,
    precision: _Precision = "fp32",
    on_error: _OnError = "raise",
    shard: Part = None,
    engine: _Engine = "local",
    ray_address: _RayAddress = None,
    overwrite: _Overwrite = False,
    resume: _Resume = False,
) -> None:
    """Turn every record of a FASTA file into a vector: columns id, num_windows, embedding.

    Example: `seqformers embed demo/run contigs.fasta --output vectors.parquet --pooling mean`
    """
    from seqformers.inference.embed import embed as run_embed

    path = run_embed(
        run, sequences, output, pooling=pooling, layer=layer, window=window, step=step, both_strands=both_strands,
        batch_size=batch_size, device=device, precision=precision, on_error=on_error, shard=shard, engine=engine,
        ray_address=ray_address, overwrite=overwrite, resume=resume, progress=_shows_progress(),
    )  # fmt: skip
    _say(f"wrote {path}", f"import pandas; pandas.read_parquet({str(path)!r})" if path.suffix == ".parquet" else "")


@app.command("annotate-proteins", rich_help_panel=_ANSWERS)
def annotate_proteins(
    proteins: Annotated[
        Path, typer.Argument(help="FASTA file of proteins, plain or compressed; - is standard input.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    plot: Annotated[
        bool, typer.Option("--plot", help="Pictures of the first 20 proteins, in the folder OUTPUT-plots.")
    ] = False,
    gff: Annotated[Path | None, typer.Option(help="Also write the segments as GFF3.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder or Hub name; else the packaged model.")] = None,
    on_error: OnError = "raise",
    shard: Part = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs.")] = False,
    resume: Resume = False,
) -> None:
    """Annotate proteins: signal peptide, membrane topology and secondary structure, one row a protein.

    A complete call, offline, with the model that comes with the package:

        seqformers annotate-proteins proteins.fasta -o table.tsv --plot

    Columns: id, length, signal_peptide_probability, signal_peptide_end (its last residue, from 1), topology (a letter
    a residue: i inside, o outside, M membrane helix, S signal peptide), num_membrane, ss3 (H helix, E strand, C coil)
    and ss3_confidence (mean probability of those letters).

    A quick look with a small model: the large protein language models know more. Strands of outer-membrane barrels
    are not looked for.
    """
    from seqformers.proteins.annotate import annotate_proteins as run_annotate

    remarks = run_annotate(
        proteins, output, model=model, plot=plot, gff=gff, on_error=on_error, shard=shard, device=device,
        overwrite=overwrite, resume=resume, progress=_shows_progress(),
    )  # fmt: skip
    for line in remarks.lines():
        typer.echo(f"warning: {line}", err=True)
    _say(
        f"wrote {output}",
        "" if plot else "the same with --plot draws the proteins, with --gff FILE lists the segments",
    )


@app.command("find-phages", rich_help_panel=_ANSWERS)
def find_phages(
    contigs: Annotated[Path, typer.Argument(help="FASTA of contigs, also .gz .bz2 .xz .zst; - is standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    preset: Annotated[
        Literal["strict", "default", "relaxed"],
        typer.Option(help="Confidence that a class needs, else `uncertain`: strict 0.9, default 0.5, relaxed none."),
    ] = "default",
    min_length: Annotated[int, typer.Option(min=1, help="Shorter contigs are left out, by count.")] = 500,
    ends: Annotated[
        bool, typer.Option("--ends", help="A column for repeats of both ends (circular or whole).")
    ] = False,
    sites: Annotated[
        Path | None, typer.Option(help="Folder for window scores (bedGraph) and regions (BED, GFF3).")
    ] = None,
    fasta_out: Annotated[Path | None, typer.Option(help="Folder for the contigs by class, as FASTA.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures along the ten longest with phage.")] = None,
    model: Annotated[str | None, typer.Option(help="Another classifier of the five classes.")] = None,
    on_error: OnError = "raise",
    shard: Part = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs.")] = False,
    resume: Resume = False,
) -> None:
    """Tell phages, other viruses, plasmids and host chromosomes apart, contig by contig, and show where phages lie.

    A complete call, with the model that comes with the package:

        seqformers find-phages contigs.fasta --output phages.tsv --sites sites --plot pictures

    Columns: id, length, gc, n_fraction, class (bacterium, archaeon, plasmid, phage, virus, uncertain), score_phage,
    score_virus, score_plasmid, score_host (bacterium and archaeon; the four are 1 together), confidence (calibrated
    probability of the class), reliable (500 nt or more, few unknown letters, and like genomes that training saw),
    num_windows.

    Confidence takes all five classes for equally frequent; in a sample of nearly only bacteria, use --preset strict.
    """
    from seqformers.phages.find import find_phage_files

    report = find_phage_files(
        contigs, output, preset=preset, min_length=min_length, ends=ends, sites=sites, fasta_out=fasta_out, plot=plot,
        model=model, on_error=on_error, shard=shard, device=device, overwrite=overwrite, resume=resume,
        progress=_shows_progress(),
    )  # fmt: skip
    for line in report.remarks.lines():
        typer.echo(f"warning: {line}", err=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in report.classes.most_common())
    expected = f"; of the phages, {report.phage_fdr:.1%} expected false" if report.classes["phage"] else ""
    before = f" ({report.resumed:,} rows were there before)" if report.resumed else ""
    done = "is finished, nothing was left to do" if report.finished else f"{counts or 'no contigs'}{expected}{before}"
    _say(f"{output}: {done}", "" if sites else "the same with --sites FOLDER shows proviruses inside contigs")


@app.command("score-guides", rich_help_panel=_ANSWERS)
def score_guides(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA file (- is standard input), or table with columns id and target."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=".tsv, .csv, .jsonl or .parquet; default: standard output.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="best, fast, a folder or a Hub id; default: best with seqformers\\[guides], else fast."),
    ] = None,
    accessible: Annotated[
        Path | None, typer.Option("--accessible", help="BED or narrowPeak of accessible chromatin (FASTA input).")
    ] = None,
    pam: Annotated[str, typer.Option(help="Four IUPAC letters; several separated by commas.")] = "TTTV",
    genome: Annotated[
        list[Path] | None, typer.Option(help="FASTA in which to count off-targets; may be given several times.")
    ] = None,
    mismatches: Annotated[int, typer.Option(min=0, max=5, help="Letters in which an off-target may differ.")] = 4,
    off_target_pam: Annotated[str | None, typer.Option(help="PAMs of off-targets; default: --pam.")] = None,
    weighting: Annotated[
        str, typer.Option(help="Mismatches in the specificity: `weighted` by their place, or `uniform`.")
    ] = "weighted",
    off_target_table: Annotated[Path | None, typer.Option(help="Table of every hit in the genome.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder for the index of the genome; default: beside the genome.")
    ] = None,
    rank: Annotated[str, typer.Option(help="Rank by `efficiency`, `specificity` or `both`.")] = "efficiency",
    gc: Annotated[str | None, typer.Option(help="Least and highest share of G and C, as 0.3,0.7.")] = None,
    no_poly_t: Annotated[bool, typer.Option("--no-poly-t", help="Leave out guides with TTTT.")] = False,
    avoid: Annotated[
        list[str] | None, typer.Option(help="Restriction enzyme whose site no oligo may hold, as BsmBI; repeatable.")
    ] = None,
    exclude: Annotated[Path | None, typer.Option(help="BED of regions that targets must not touch.")] = None,
    only: Annotated[Path | None, typer.Option(help="BED of regions in which the cut must lie.")] = None,
    genes: Annotated[Path | None, typer.Option(help="GFF3 of gene models, drawn below the track.")] = None,
    in_exons: Annotated[bool, typer.Option("--in-exons", help="Only guides that cut in an exon of --genes.")] = False,
    top: Annotated[int | None, typer.Option(min=1, help="At most so many guides a record, spread over it.")] = None,
    oligos: Annotated[
        str | None, typer.Option(help="Overhangs of the vector, as AGAT,AAAA; adds the oligos to order.")
    ] = None,
    order: Annotated[str, typer.Option(help="Rows of a record by `rank` (best first) or by `position`.")] = "rank",
    on_error: OnError = "raise",
    track: Annotated[
        Path | None, typer.Option(help="Picture of the guides along each record, .png, .svg or .pdf.")
    ] = None,
    shard: Part = None,
    device: Annotated[str | None, typer.Option(help="Torch device; default: a GPU when there is one.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Contexts the model sees at once.")] = 1024,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interrupted run.")] = False,
) -> None:
    """Score and rank Cpf1 (Cas12a) guides: predicted indel frequency in percent, and where else they cut.

    A complete call, offline, with the model in the package:

        seqformers score-guides gene.fasta --output guides.tsv --track guides.png

    Positions count from 0 on the forward strand; cut_start begins the five-letter overhang; ranks are per record.

    Guides to order, off-targets counted in a genome (its index is kept beside it):

        seqformers score-guides gene.fasta --genome genome.fa --rank both --top 5 --oligos AGAT,AAAA -o order.tsv

    A table of 34-letter targets (columns id, target and, if known, accessible 0/1) keeps its order:

        seqformers score-guides targets.tsv --output scored.tsv

    Accessibility (that column, or --accessible for FASTA) needs the published weights:

        seqformers convert deepcpf1 Seq_deepCpf1_weights.h5 published --full DeepCpf1_weights.h5
        seqformers score-guides gene.fasta --model published --accessible peaks.narrowPeak --output guides.tsv
    """
    from seqformers.guides.score import score_guides as run

    report = run(
        source, output, model=model, pam=pam, accessible=accessible, genome=genome or (), mismatches=mismatches,
        off_target_pam=off_target_pam, weighting=weighting, off_target_table=off_target_table, index=index, rank=rank,
        gc=None if gc is None else _limits(gc), no_poly_t=no_poly_t, avoid=avoid or (), exclude=exclude, only=only,
        genes=genes, in_exons=in_exons, top=top, oligos=oligos, order=order, on_error=on_error, track=track,
        shard=shard, device=device, batch_size=batch_size, overwrite=overwrite, resume=resume,
        progress=_shows_progress(),
    )  # fmt: skip
    for line in report.lines():
        typer.echo(f"warning: {line}", err=True)
    for label, count in sorted(report.guides.items()):
        if label in ("context_cut", "poly_t", "protospacer_cut", "unknown_letters") and report.records:
            typer.echo(f"{label}: {count:,} guides, marked in the column warnings", err=True)
    done = "nothing was left to do" if report.finished else f"{report.rows:,} rows"
    more = {"": output, ", off-targets": off_target_table, ", picture": track}
    places = "".join(f"{what} -> {path}" for what, path in more.items() if path is not None)
    picture = "" if track or output is None else "the same with --track guides.png --overwrite draws them"
    _say(f"{done}, model {report.model}{places}", picture)


def _limits(text: str) -> tuple[float, float]:
    """Two numbers separated by a comma."""
    parts = text.split(",")
    try:
        least, most = (float(part) for part in parts)
    except ValueError:
        raise ValueError(f"--gc takes the least and the highest share, as 0.3,0.7; got {text!r}") from None
    return least, most


@app.command("explain-guides", rich_help_panel=_RUN)
def explain_guides(
    source: Annotated[
        Path | None, typer.Argument(metavar="FASTA", help="Whose guides to look at; default: 2,000 made-up ones.")
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: position, part, place, letter, effect.")],
    picture: Annotated[Path | None, typer.Option(help="Map and logos of filters, .png, .svg or .pdf.")] = None,
    model: Annotated[str, typer.Option(help="fast, a folder or a Hub id.")] = "fast",
    pam: Annotated[str, typer.Option(help="Four IUPAC letters; several separated by commas.")] = "TTTV",
    device: Annotated[str | None, typer.Option(help="Torch device; default: a GPU when there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Show what a guide model looks at: the effect of every letter at every place, and what its filters look for.

    Example: `seqformers explain-guides --output effects.tsv --picture effects.png`
    """
    from seqformers.guides.effects import explain_guides as run

    count = run(output, source, model=model, pam=pam, picture=picture, device=device, overwrite=overwrite)
    _say(f"{count:,} contexts -> {output}{f', picture -> {picture}' if picture else ''}")


@app.command(rich_help_panel=_RUN)
def merge(
    shards: Annotated[list[Path], typer.Argument(help="What runs with --shard 1/n to n/n wrote, in any order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="What the single run would have written.")],
    overwrite: _Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep a finished output.")] = False,
) -> None:
    """Join the shards of an array job into what a single run writes, byte for byte.

    Complete calls, each line a task of its own:

        seqformers predict runs/phage-150 contigs.fasta --shard 1/2 --output part-1.tsv

        seqformers predict runs/phage-150 contigs.fasta --shard 2/2 --output part-2.tsv

        seqformers merge part-1.tsv part-2.tsv --output preds.tsv

    Shards of another model, input or option are refused, and a missing one is named. What a shard was written with
    stands beside it in `.NAME.seqformers.json`: take that file along when you move it.
    """
    from seqformers.merging import merge as run_merge

    path = run_merge(shards, output, overwrite=overwrite, resume=resume)
    _say(f"wrote {path}, of {len(shards)} shards")


@app.command(rich_help_panel=_RUN)
def explain(
    run: _Run,
    fasta: _Sequences,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and pictures.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="attention, mutations, gradients or motifs, may be repeated; or one of filters (of a seq_cnn), "
            "variants, alignment and contacts (proteins).",
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label to explain; default: the positive one.")] = None,
    layer: Annotated[int, typer.Option(help="Layer whose attention is shown; -1 is the last.")] = -1,
    plots: Annotated[int, typer.Option(min=0, help="Draw pictures of the first so many records, or filters.")] = 20,
    known_motifs: Annotated[
        Path | None, typer.Option(help="Motifs in MEME format, such as JASPAR's, to match filters with.")
    ] = None,
    variants: Annotated[
        Path | None, typer.Option(help="VCF file, for the method variants; the FASTA file is then the genome.")
    ] = None,
    window: _Window = None,
    step: _Step = None,
    batch_size: _BatchSize = 64,
    device: _Device = None,
    precision: _Precision = "fp32",
    on_error: _OnError = "raise",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier explanation.")] = False,
    resume: _Resume = False,
) -> None:
    """Show what a model looks at, base by base: tables (TSV) and pictures (PNG).

    A complete call:

        seqformers explain runs/phage-150 reads.fasta --output explained

    writes attention.tsv, mutations.tsv, scores.tsv and plots/. Add motifs of the records taken for phages:

        seqformers explain runs/phage-150 reads.fasta -o explained-motifs -m attention -m motifs --label phage

    What the filters of a convolutional network look for, as logos, a MEME file, and matches with known motifs:

        seqformers explain runs/promoters promoters.fasta -o filters --method filters --known-motifs JASPAR.meme

    How much likelier a language model finds each alternative of a VCF file than the reference, both strands averaged:

        seqformers explain runs/pt genome.fa -o effects --method variants --variants calls.vcf

    Soft alignment of proteins with the first of the file, by a PLUS-RNN:

        seqformers explain runs/plus proteins.fasta --output aligned --method alignment
    """
    from seqformers.interpret.explain import explain as run_explain

    folder = run_explain(
        run,
        fasta,
        output,
        methods=method,
        label=label,
        layer=layer,
        plots=plots,
        known_motifs=known_motifs,
        variants=variants,
        window=window,
        step=step,
        batch_size=batch_size,
        device=device,
        precision=precision,
        on_error=on_error,
        overwrite=overwrite,
        resume=resume,
    )
    _say(f"wrote {', '.join(sorted(path.name for path in folder.iterdir() if path.name[0] != '.'))} to {folder}")


@app.command(rich_help_panel=_SHARE)
def space(
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    run: Annotated[
        str,
        typer.Option(help="Run folder or Hub repository; targetnet or deepcpf1 for the models in the package."),
    ],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    example: Annotated[list[Path] | None, typer.Option(help="FASTA file offered on the page; repeatable.")] = None,
    window: Annotated[int | None, typer.Option(help="Letters scored at once; the model's limit if absent.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier Space.")] = False,
) -> None:
    """Write a web page (a Gradio Space) for a model: FASTA in, table and picture out, offline on a CPU.

    Complete calls, then start a page or publish it:

        seqformers space space/guides --run deepcpf1

        seqformers space space/phage --run runs/phage-150 --example contigs.fasta

        python space/phage/app.py

        seqformers push space/phage me/phage
    """
    from seqformers.hub.spaces.write import write_space

    examples = [path.read_text(encoding="utf-8") for path in example or []]
    folder = write_space(output, run, title=title, examples=examples, window=window, overwrite=overwrite)
    typer.echo(f"{folder}: start it with python {folder / 'app.py'} (needs pip install gradio)", err=True)


@app.command(rich_help_panel=_SHARE)
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a JSON list on standard output.")] = False,
    self_test: Annotated[bool, typer.Option(help="Ask each model of the package a known question (seconds).")] = True,
) -> None:
    """Look at the installation: versions, devices, precision, caches, extras, and the models of the package.

    Example, also for a bug report: `seqformers doctor`

    Ends with code 1 when something is broken; a missing extra is not.
    """
    from seqformers.doctor import diagnose

    found = diagnose(self_test=self_test)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=1))
    else:
        marks = {"ok": "ok", "missing": "--", "broken": "!!"}
        for number, finding in enumerate(found):
            if number == 0 or finding.section != found[number - 1].section:
                typer.echo(f"{finding.section}")
            typer.echo(f"  {marks[finding.state]}  {finding.name}: {finding.value}")
    if any(finding.state == "broken" for finding in found):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake ends with one line on stderr and exit code 2, not a traceback."""
    # Read when torch loads. Threads that wait by spinning take a core from whoever has work for it, themselves too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    warnings.showwarning = _print_warning
    try:
        app()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # A configuration's field of another type; its class is huggingface_hub's, which is not imported for this.
        if type(error).__name__ != "StrictDataclassFieldValidationError":
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command with --resume to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
