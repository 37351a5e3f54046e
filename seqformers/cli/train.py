"""Build data and train.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from seqformers.cli._app import (
    TRAIN,
    Changes,
    Curves,
    OverwriteRun,
    Part,
    RayAddress,
    RecipeFile,
    ResumeRun,
    RunFolder,
    ShardEngine,
    app,
    say,
)


@app.command(rich_help_panel=TRAIN)
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
    engine: ShardEngine = "local",
    ray_address: RayAddress = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of lengths, GC content and leakage (.png, .svg, .pdf).")
    ] = None,
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
    if plot is not None and plot.exists() and not (overwrite or resume):
        raise FileExistsError(f"{plot} is there; choose another name or replace it with --overwrite")
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
        engine=engine,
        ray_address=ray_address,
        **read_pairs(words),
    )
    if shard is not None:
        typer.echo(f"{folder}: shard {shard}; seqformers merge makes the data set of all of them")
        return
    if (folder / "report.json").is_file():
        for line in report_lines(json.loads((folder / "report.json").read_text(encoding="utf-8"))):
            typer.echo(line)
    if plot is not None:
        from seqformers.dataset_pictures import plot_build

        plot_build(folder, plot, overwrite=overwrite or resume)
    typer.echo(f"{folder}: read it with datasets.load_dataset({str(folder)!r}); card and report are in it")
    say(
        "" if plot is None else f"picture: {plot}", f"seqformers finetune RECIPE data.path={folder} --output runs/mine"
    )


@app.command("learn-tokens", rich_help_panel=TRAIN)
def learn_tokens(
    genomes: Annotated[Path, typer.Argument(help="Folder that `seqformers build genomes` wrote.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the tokenizer.")],
    algorithm: Annotated[Literal["bpe", "unigram"], typer.Option(help="How words are learnt.")] = "bpe",
    vocabulary: Annotated[int, typer.Option(min=10, help="Ids, the five special ones included.")] = 4096,
    longest: Annotated[int, typer.Option(min=2, help="Letters of the longest word.")] = 16,
    letters: Annotated[int, typer.Option(min=1, help="Letters of the reads to learn from.")] = 5_000_000,
    length: Annotated[int, typer.Option(min=2, help="Letters of a read.")] = 510,
    seed: Annotated[int, typer.Option(min=0, help="Draws the reads.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier tokenizer.")] = False,
) -> None:
    """Learn a vocabulary of DNA words from reads of genomes: tokens that do not overlap, the common ones long.

    A complete call:

        seqformers learn-tokens data/genomes --algorithm bpe --vocabulary 4096 --output tokenizers/bpe

    A recipe trains on them by `tokenizer.from`, and `AutoTokenizer` loads them without this package.
    """
    from seqformers.training.segmentation import learn_tokens as learn

    folder = learn(
        genomes,
        output,
        algorithm=algorithm,
        vocabulary=vocabulary,
        longest=longest,
        letters=letters,
        reads={"length": length},
        seed=seed,
        overwrite=overwrite,
    )
    recipe = "benchmarks/recipes/segmentation/pretrain.yaml"
    say(f"tokenizer: {folder}", f"seqformers pretrain {recipe} data.path={genomes} tokenizer.from={folder}")


@app.command(rich_help_panel=TRAIN)
def pretrain(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    plot: Curves = None,
    resume: ResumeRun = False,
) -> None:
    """Pretrain a language model, word vectors or (`contrastive`) an encoder by a recipe, without labels.

    A complete call:

        seqformers pretrain benchmarks/recipes/virbert/pretrain.yaml data.path=data/pretrain seeds=[0] --output runs/pt

    Resume after a kill by adding `--resume`. Every key of the recipe can be changed, for example
    `training.learning_rate=5e-4 model.config.num_hidden_layers=6`.
    """
    _train("pretrain", recipe, overrides, output, plot=plot, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=TRAIN)
def finetune(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    plot: Curves = None,
    resume: ResumeRun = False,
) -> None:
    r"""Fine-tune on labels, from a pretrained run or from scratch (`model.from=null`), several seeds in one go.

    A complete call:

        seqformers finetune benchmarks/recipes/virbert/finetune-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/ft

    Prints mean and spread over the seeds beside the shortcut baselines.
    """
    _train("finetune", recipe, overrides, output, plot=plot, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=TRAIN)
def probe(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    resume: ResumeRun = False,
) -> None:
    r"""Fit only the last layer on features of the frozen model, computed once and kept.

    A complete call:

        seqformers probe benchmarks/recipes/virbert/probe-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/probe
    """
    _train("probe", recipe, overrides, output, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=TRAIN)
def distill(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    plot: Curves = None,
    resume: ResumeRun = False,
) -> None:
    r"""Train a small network on the answers of a trained one; they may be of different families.

    A complete call:

        seqformers distill benchmarks/recipes/seq_cnn/distill-150.yaml data.path=data/reads-150 \
            distill.teacher=runs/ft --output runs/small

    The card and the printed table show student, teacher and shortcuts on the same rows.
    """
    _train("distill", recipe, overrides, output, plot=plot, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=TRAIN)
def prune(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub repository (owner/name) with its recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes to its recipe, e.g. data.path=other.")] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write: model, sizes.tsv, sizes.png.")],
    share: Annotated[
        list[float] | None,
        typer.Option(min=0, max=0.999, help="Share of zeros to try; repeatable; else 0.2, 0.4, 0.6, 0.8."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How much of the first metric the model may lose on validation.")
    ] = 0.01,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
) -> None:
    """Set the smallest weights of a model to zero, and show what that and int8 cost: a table and a picture.

    A complete call, for a run whose data are where they were:

        seqformers prune runs/ft --output runs/ft-pruned --tolerance 0.02

    The model that is written has the most zeros within the tolerance. Zeros save room in compressed files; a network
    with fewer layers (`seqformers distill`) saves time too.
    """
    from seqformers.training.pruning import SHARES
    from seqformers.training.pruning import prune as run_prune

    words = list(overrides or [])
    folder = run_prune(
        run, output, words, shares=share or SHARES, tolerance=tolerance, overwrite=overwrite,
        command=" ".join(["seqformers", "prune", str(run), *words]),
    )  # fmt: skip
    say(f"{folder}: a Hub repository, with sizes.tsv and sizes.png", f"seqformers predict {folder} contigs.fasta")


@app.command(rich_help_panel=TRAIN)
def tune(
    recipe: RecipeFile,
    overrides: Changes = None,
    *,
    output: RunFolder = None,
    overwrite: OverwriteRun = False,
    resume: ResumeRun = False,
) -> None:
    r"""Search hyper-parameters with Optuna (`pip install seqformers[tune]`); writes the best recipe.

    A complete call:

        seqformers tune benchmarks/recipes/virbert/tune-150.yaml data.path=data/reads-150 \
            model.from=runs/pt --output runs/tune

    then `seqformers finetune runs/tune/best.yaml --output runs/best`.
    """
    _train("tune", recipe, overrides, output, overwrite=overwrite, resume=resume)


@app.command(rich_help_panel=TRAIN)
def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub repository (owner/name).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes to its recipe, e.g. data.path=other.")] = None,
    *,
    split: Annotated[str, typer.Option(help="train, validation, test, test_NAME, or all test sets.")] = "test",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Parquet file for label and scores of every row.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Also fit and score the shortcuts.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Picture of ROC, precision and recall, calibration, confusion (.png, .svg, .pdf)."),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Show that picture in the card of the run folder, too.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output files.")] = False,
) -> None:
    """Score a run on its test rows, or on other rows of the same form.

    A complete call:

        seqformers evaluate runs/ft data.path=data/reads-1000 --baselines --output scores.json --plot scores.png
    """
    from seqformers.training.evaluation import evaluate as score
    from seqformers.training.report import print_scores, with_lengths

    result = score(
        run,
        overrides or [],
        split=split,
        output=output,
        predictions=predictions,
        baselines=baselines,
        plot=plot,
        card=card,
        overwrite=overwrite,
    )
    splits = result["splits"] if split == "all" else {split: result}
    bins = {name: found.get("by_length", {}) for name, found in splits.items()}
    metrics = with_lengths({name: found["metrics"] for name, found in splits.items()}, bins)
    shortcuts = {
        what if split != "all" else f"{what}, {name}": scores
        for name, found in splits.items()
        for what, scores in found.get("baselines", {}).items()
    }
    print_scores(f"{run} on {split}", metrics, shortcuts, split)
    written = [str(path) for path in (output, predictions, plot) if path is not None]
    hint = (
        ""
        if plot
        else f"seqformers evaluate {run} --plot scores.png   # ROC, precision and recall, calibration, confusion"
    )
    say(f"wrote {', '.join(written)}" if written else f"{run} is scored", hint)


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
        say("the search is in it", f"seqformers finetune {folder / 'best.yaml'} --output runs/best")
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
        "distill": f"seqformers predict {folder} contigs.fasta --output table.tsv   # or prune, push",
    }
    say(f"run folder, a Hub repository: {folder}", after[task])
