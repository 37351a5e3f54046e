"""What users do by mistake, and what happens to machines at night: nothing is lost, nothing is wrong in silence."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import warnings
from functools import partial
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from seqformers.cli import main
from seqformers.files import Output
from seqformers.hub.load import load_model
from seqformers.inference.embed import embed
from seqformers.inference.predict import predict
from seqformers.interpret.explain import explain
from seqformers.tables import RowFile
from tests.inference.runs import dna, dna_run, protein_run

VERBS = {
    "predict": (predict, "out.tsv"),
    "embed": (embed, "out.parquet"),
    "explain": (partial(explain, plots=0), "out"),
}
PEPTIDE = "MKVLAAGIVGLLLAQWERTYEEFILPQMKVLAAGIVGLLLA"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dna_run(tmp_path_factory.mktemp("runs") / "run", portable=True)


@pytest.fixture(scope="module")
def proteins(tmp_path_factory):
    return protein_run(tmp_path_factory.mktemp("runs") / "proteins")


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">r{i}\n{dna(12 + 7 * i, i)}\n" for i in range(5)))
    return path


def command(monkeypatch, *words):
    words = [*words, "--plots", 0] if words[0] == "explain" else words
    monkeypatch.setattr(sys, "argv", ["seqformers", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def everything(folder):
    """Every file below a folder and its bytes, but for what the clients and this package note beside outputs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def results(path):
    return everything(path) if path.is_dir() else path.read_bytes()


# -- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_an_output_is_never_the_input(run, tmp_path, monkeypatch, verb, capsys):
    path = tmp_path / "in.jsonl"  # a name that both verbs would write
    path.write_text(f">a\n{dna(60, 1)}\n")
    (tmp_path / "link.jsonl").symlink_to(path)
    before = path.read_text()
    for target in (path, tmp_path / "link.jsonl", tmp_path / "." / "in.jsonl"):
        assert command(monkeypatch, verb, run, path, "-o", target, "--overwrite") == 2
        assert "is the input" in capsys.readouterr().err
    assert path.read_text() == before and not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mistake", ["input", "model", "content", "letters", "option", "label of another run"])
def test_yesterdays_results_survive_a_mistake(run, fasta, tmp_path, monkeypatch, verb, mistake, capsys):
    output = tmp_path / VERBS[verb][1]
    words = [verb, run, fasta, "-o", output, "--overwrite"]
    if verb == "explain":
        output.mkdir()
        (output / ".seqformers.json").write_text(json.dumps({"job": "explain", "files": ["scores.tsv"]}))
        (output / "scores.tsv").write_text("yesterday")
    else:
        output.write_bytes(b"yesterday")
    before = results(output)
    bad = tmp_path / "bad.fasta"
    if mistake == "input":
        words[2] = tmp_path / "typo.fasta"
    elif mistake == "model":
        words[1] = tmp_path / "no-such-run"
    elif mistake == "option":
        words += ["--batch-size", "0"]
    elif mistake == "label of another run":
        words += ["--label", "plant"] if verb == "explain" else ["--window", "100000"]
    else:
        bad.write_text("hello" if mistake == "content" else f">a\n{dna(40, 0)}\n>p\n{PEPTIDE}\n")
        words[2] = bad
    assert command(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert results(output) == before


@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupted_job_survives_a_mistake(run, fasta, tmp_path, monkeypatch, verb):
    output = tmp_path / VERBS[verb][1]
    unfinished = output.with_name(output.name + ".partial")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("seqformers.tables.RowFile.close", lambda self: 1 / 0)
        VERBS[verb][0](run, fasta, output, progress=False)
    before = results(unfinished)
    (tmp_path / "typo.fasta").write_text("hello")
    with pytest.raises(ValueError, match="neither FASTA nor FASTQ"):
        VERBS[verb][0](run, tmp_path / "typo.fasta", output, progress=False)
    assert results(unfinished) == before


@pytest.mark.parametrize("target", ["project", "run", "run of another verb", "parent of the input"])
def test_explain_replaces_only_what_it_made(run, fasta, tmp_path, monkeypatch, target, capsys):
    folder = tmp_path / "project"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "notes.txt").write_text("years")
    if target == "run":
        folder = shutil.copytree(run, tmp_path / "mine")
    elif target == "run of another verb":
        (folder / ".seqformers.json").write_text(json.dumps({"job": "build", "files": ["thesis/notes.txt"]}))
    elif target == "parent of the input":
        folder = tmp_path
    before = everything(tmp_path)
    model = folder if target == "run" else run
    assert command(monkeypatch, "explain", model, fasta, "-o", folder, "--overwrite") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert everything(tmp_path) == before


def test_explain_replaces_an_earlier_explanation(run, fasta, tmp_path):
    explain(run, fasta, tmp_path / "out", methods=["attention"], plots=1, progress=False)
    explain(run, fasta, tmp_path / "out", methods=["gradients"], plots=0, overwrite=True, progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".seqformers.json",
        "gradients.tsv",
        "scores.tsv",
    ]
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"did not write \(notes\.txt\)"):
        explain(run, fasta, tmp_path / "out", plots=0, overwrite=True, progress=False)


@pytest.mark.parametrize("verb", VERBS)
def test_two_jobs_never_write_one_output(run, fasta, tmp_path, monkeypatch, verb):
    function, name = VERBS[verb]
    second = []

    def meanwhile(*_):
        monkeypatch.undo()
        with pytest.raises(OSError, match="another process is writing"):
            function(run, fasta, tmp_path / name, resume=True, progress=False)
        second.append(1)

    monkeypatch.setattr("seqformers.tables.RowFile.close", meanwhile)
    function(run, fasta, tmp_path / name, progress=False)
    assert second


# -- resume ----------------------------------------------------------------------------------------------------------


def start(run, fasta, output, verb, **options):
    """A job that is interrupted after its first rows."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        rows, whole = [], RowFile.write

        def write(self, some):
            if len(rows) == 2:
                raise KeyboardInterrupt
            rows.append(1)
            whole(self, some)

        patch.setattr("seqformers.tables.RowFile.write", write)
        VERBS[verb][0](run, fasta, output, progress=False, **options)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("change", ["model", "input", "window"])
@pytest.mark.parametrize("finished", [False, True])
def test_a_resume_is_of_the_same_work(run, fasta, tmp_path, verb, change, finished):
    function, name = VERBS[verb]
    output, model = tmp_path / name, shutil.copytree(run, tmp_path / "model")
    if finished:
        function(model, fasta, output, progress=False)
    else:
        start(model, fasta, output, verb)
    place = output if finished else output.with_name(output.name + ".partial")
    before, options = results(place), {}
    if change == "model":
        weights = load_file(model / "model.safetensors")
        weights["classifier.bias"] += 1
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    elif change == "input":
        fasta.write_text(fasta.read_text().replace("A", "C", 1))
    else:
        options = {"window": 30}
    with pytest.raises(ValueError, match=f"with other settings \\({change}: then .*, now "):
        function(model, fasta, output, resume=True, progress=False, **options)
    assert results(place) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_resume_goes_on_where_the_model_was_moved(run, fasta, tmp_path, verb):
    function, name = VERBS[verb]
    whole = function(run, fasta, tmp_path / f"whole-{name}", progress=False)
    start(run, fasta, tmp_path / name, verb)
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    (moved / "README.md").write_text("a card decides nothing")
    again = fasta.rename(tmp_path / "renamed.fasta")
    assert results(function(moved, again, tmp_path / name, resume=True, progress=False)) == results(whole)


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_counts_after_a_resume_cover_the_whole_file(run, tmp_path, verb):
    function, name = VERBS[verb]
    path = tmp_path / "in.fasta"
    path.write_text(f">a\nNNNN\n>a\nAC\n>b\n{dna(50, 1)}\n>c\n{dna(50, 2)}\n>d\n\n")
    start(run, path, tmp_path / name, verb)
    with pytest.warns(UserWarning) as told:
        function(run, path, tmp_path / name, resume=True, progress=False)
    words = "\n".join(str(item.message) for item in told)
    assert "3 records hold no known token" in words and "1 ids came more than once" in words


def _dies(verb, run, fasta, output, moment):
    """A job in a child of its own that is killed (signal 9) at the n-th of the moments that matter, torn rows too."""
    torch.set_num_threads(1)
    left = [moment]

    def at(function, *, torn=False):
        def wrapped(self, *given):
            left[0] -= 1
            if left[0] == 0:
                if torn and self._file is not None:
                    self._file.write("torn")
                    self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return function(self, *given)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((RowFile, "write"), (RowFile, "_write_part"), (RowFile, "close"), (RowFile, "join")):
            patch.setattr(owner, name, at(getattr(owner, name), torn=name == "write"))
        for owner, name in ((Output, "start"), (Output, "finish")):
            patch.setattr(owner, name, at(getattr(owner, name)))
        VERBS[verb][0](run, fasta, output, resume=True, progress=False, batch_size=3)


@pytest.mark.parametrize("verb", VERBS)
def test_kill_9_at_any_moment_and_resume(run, fasta, tmp_path, verb, monkeypatch):
    monkeypatch.setattr("seqformers.tables._ROWS_PER_PART", 2)
    function, name = VERBS[verb]
    whole, output = function(run, fasta, tmp_path / f"whole-{name}", progress=False), tmp_path / name
    known = load_model(run, None if verb == "explain" else load_model_head(verb), device="cpu")
    for module in ("seqformers.inference.record_rows", "seqformers.interpret.explain"):
        monkeypatch.setattr(f"{module}.load_model", lambda *_, **__: known)  # every child has it at once
    chance = random.Random(verb)
    for _ in range(8):
        child = multiprocessing.get_context("fork").Process(
            target=_dies, args=(verb, run, fasta, output, chance.randint(1, 9))
        )
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL)
    assert results(function(run, fasta, output, resume=True, progress=False)) == results(whole)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def load_model_head(verb):
    return "AutoModel" if verb == "embed" else "AutoModelForSequenceClassification"


# -- sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_an_empty_record_is_a_row_wherever_it_stands(run, tmp_path, verb):
    path = tmp_path / "in.fasta"
    path.write_text(f">first\n>a\n{dna(50, 1)}\n>middle\n\n>b\n{dna(50, 2)}\n>last")
    function = VERBS[verb][0]
    with pytest.warns(UserWarning, match="3 records hold no known token"):
        rows = pd.read_json(function(run, path, tmp_path / "out.jsonl", progress=False), lines=True)
    assert rows["id"].tolist() == ["first", "a", "middle", "b", "last"]
    assert rows["num_windows"].tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("verb", VERBS)
def test_bad_records_are_skipped_and_counted_on_request(run, tmp_path, verb, monkeypatch, capsys):
    path, output = tmp_path / "in.fasta", tmp_path / VERBS[verb][1]
    path.write_text(f">a\n{dna(50, 1)}\n>peptide\n{PEPTIDE}\n>b\n{dna(50, 2)}\n>gap\nAC-GT\n")
    assert command(monkeypatch, verb, run, path, "-o", output) == 2
    assert "record 'peptide'" in capsys.readouterr().err and not output.exists()
    assert command(monkeypatch, verb, run, path, "-o", output, "--overwrite", "--on-error", "skip") == 0
    assert "2 records left out" in capsys.readouterr().err
    table = pd.read_parquet(output) if verb == "embed" else pd.read_csv(
        output / "scores.tsv" if verb == "explain" else output, sep="\t"
    )  # fmt: skip
    assert table["id"].tolist() == ["a", "b"]
    assert command(monkeypatch, verb, run, path, "-o", output, "--overwrite", "--on-error", "ignore") == 2


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f">a\n{PEPTIDE}>b\n{PEPTIDE}\n", "'>'"),
        (">a\nSequence unavailable\n", "' '"),
        (">a\nMKV-LA\n", "gap"),
    ],
)
def test_proteins_are_residues(proteins, tmp_path, verb, text, message):
    (tmp_path / "p.faa").write_text(text)
    with pytest.raises(ValueError, match=message):
        VERBS[verb][0](proteins, tmp_path / "p.faa", tmp_path / VERBS[verb][1], progress=False)


@pytest.mark.parametrize("verb", VERBS)
def test_dna_among_proteins_is_told(proteins, tmp_path, verb):
    (tmp_path / "p.faa").write_text(f">a\n{PEPTIDE}\n>b\n{dna(90, 1)}\n")
    with pytest.warns(UserWarning, match=r"is this DNA\?"):
        VERBS[verb][0](proteins, tmp_path / "p.faa", tmp_path / VERBS[verb][1], progress=False)


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_proteins_have_one_strand(proteins, tmp_path, verb):
    (tmp_path / "p.faa").write_text(f">a\n{PEPTIDE}\n")
    with pytest.raises(ValueError, match="reads proteins, which have one strand"):
        VERBS[verb][0](proteins, tmp_path / "p.faa", tmp_path / "out.jsonl", both_strands=True, progress=False)


def test_a_pipe_is_read_once(run, fasta, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    whole = predict(run, fasta, tmp_path / "a.tsv", progress=False).read_text()
    writer = Thread(target=lambda: pipe.write_text(fasta.read_text()))
    writer.start()
    assert predict(run, pipe, tmp_path / "b.tsv", progress=False).read_text() == whole
    writer.join()
    with pytest.raises(ValueError, match="cannot be read again"):
        predict(run, pipe, tmp_path / "c.tsv", resume=True, progress=False)


# -- one model, one answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (6, 3)])
def test_the_portable_form_answers_as_the_run(tmp_path, k, stride):
    run = dna_run(tmp_path / "run", k=k, stride=stride, portable=True)
    path = tmp_path / "in.fasta"
    records = {
        "n": "N" * 90,
        "short": "ACG"[: k - 1],
        "mixed": f"{dna(70, 1)}{'N' * 80}{dna(70, 2)}",
        "long": dna(500, 3),
    }
    records |= {
        "lower": dna(150, 4).lower(),
        "rna": dna(60, 5).replace("T", "U"),
        "iupac": dna(30, 6) + "RYKM" + dna(30, 7),
    }
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in records.items()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for verb, name in (("predict", "tsv"), ("embed", "jsonl")):
            ours, theirs = (
                VERBS[verb][0](model, path, tmp_path / f"{model.name}.{name}", progress=False).read_text()
                for model in (run, run / "portable")
            )
            assert ours == theirs
        for model in (run, run / "portable"):
            explain(model, path, tmp_path / f"explained-{model.name}", plots=0, on_error="skip", progress=False)
    names = ("attention.tsv", "mutations.tsv", "scores.tsv")
    ours, theirs = (
        [(tmp_path / f"explained-{model}" / name).read_text() for name in names] for model in ("run", "portable")
    )
    assert ours == theirs
    (tmp_path / "p.faa").write_text(f">p\n{PEPTIDE}\n")
    with pytest.raises(ValueError, match="is this a protein"):
        predict(run / "portable", tmp_path / "p.faa", tmp_path / "p.tsv", progress=False)


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        ("single_label_classification", 2),
        ("single_label_classification", 4),
        ("multi_label_classification", 2),
        ("multi_label_classification", 3),
        ("regression", 1),
        (None, 2),
    ],
)
@pytest.mark.parametrize("window", [None, 20])
def test_predict_and_explain_give_one_score(tmp_path, fasta, problem, labels, window):
    names = {number: f"label{number}" for number in range(labels)}
    run = dna_run(tmp_path / "run", problem_type=problem, id2label=names)
    predicted = pd.read_csv(predict(run, fasta, tmp_path / "p.tsv", window=window, progress=False), sep="\t")
    explain(run, fasta, tmp_path / "e", methods=["attention"], plots=0, window=window, progress=False)
    explained = pd.read_csv(tmp_path / "e" / "scores.tsv", sep="\t")
    assert predicted["score"].tolist() == explained["score"].tolist()
    if labels > 2 or problem == "multi_label_classification":
        assert predicted["label"].tolist() == explained["label"].tolist()


def test_several_labels_have_probabilities_of_their_own(tmp_path):
    run = dna_run(tmp_path / "run", problem_type="multi_label_classification", id2label={0: "a", 1: "b", 2: "c"})
    weights = load_file(run / "model.safetensors")
    weights["classifier.weight"].zero_()
    weights["classifier.bias"] = torch.tensor([2.0, 1.0, -3.0])
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "in.fasta").write_text(f">r\n{dna(50, 1)}\n")
    (row,) = pd.read_csv(predict(run, tmp_path / "in.fasta", tmp_path / "p.tsv", progress=False), sep="\t").to_dict(
        "records"
    )
    assert (row["label"], row["score"]) == ("a", round(1 / (1 + np.exp(-2.0)), 4))


@pytest.mark.parametrize("verb", ["predict", "explain"])
def test_an_answer_that_is_no_number_ends_the_job(run, fasta, tmp_path, verb, monkeypatch):
    monkeypatch.setattr(
        "seqformers.inference.scores._logits", lambda model, batch: torch.full((len(batch["input_ids"]), 2), torch.nan)
    )
    with pytest.raises(ValueError, match="the model gives no number for it"):
        VERBS[verb][0](run, fasta, tmp_path / VERBS[verb][1], progress=False)
    assert not (tmp_path / VERBS[verb][1]).exists()


def test_numbers_too_large_for_single_precision_are_read_exactly(run, fasta, tmp_path):
    model = shutil.copytree(run, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["classifier.weight"] = torch.full_like(weights["classifier.weight"], 3e38)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    table = pd.read_csv(predict(model, fasta, tmp_path / "p.tsv", progress=False), sep="\t")
    assert table["score"].between(0, 1).all()  # NaN, the softmax of two infinities, is not


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "options",
    [
        {"window": 0}, {"window": -5}, {"step": 0}, {"batch_size": 0}, {"batch_size": -1}, {"window": 10**6},
        {"window": 2}, {"window": 20, "step": 21}, {"step": 10**6}, {"window": 1.5}, {"device": "gpu"},
    ],
    ids=str,
)  # fmt: skip
def test_options_have_bounds(run, fasta, tmp_path, verb, options, monkeypatch, capsys):
    output = tmp_path / VERBS[verb][1]
    with pytest.raises(ValueError) as error:
        VERBS[verb][0](run, fasta, output, progress=False, **options)
    assert "\n" not in str(error.value) and "range()" not in str(error.value)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert command(monkeypatch, verb, run, fasta, "-o", output, *words) == 2
    assert "Traceback" not in capsys.readouterr().err and not output.exists()


@pytest.mark.parametrize("name", ["a$b$c", "$x^", "x" * 300, "../../\u00e4|$"])
def test_any_id_can_be_drawn(run, tmp_path, name):
    path = tmp_path / "in.fasta"
    path.write_text(f">{name}\n{dna(20, 1)}\n", encoding="utf-8")
    explain(run, path, tmp_path / "out", plots=1, progress=False)
    pictures = list((tmp_path / "out" / "plots").iterdir())
    assert len(pictures) == 2 and all(len(picture.name) < 100 for picture in pictures)
    assert pd.read_csv(tmp_path / "out" / "scores.tsv", sep="\t")["id"].tolist() == [name]
