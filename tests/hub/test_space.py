"""The Space of a run: written, started, asked over its API and used in a real browser where there is one."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import get_session

from seqformers import (
    CodingProfileConfig,
    CodingProfileForSequenceClassification,
    KmerBertConfig,
    KmerBertForMaskedLM,
    KmerBertForSequenceClassification,
    KmerTokenizer,
)
from seqformers.guides.score import guide_table
from seqformers.hub.load import packaged_model
from seqformers.hub.push import push_to_hub
from seqformers.hub.repository import write_model_repository
from seqformers.hub.spaces.write import write_space
from seqformers.phages.find import find_phage_files
from seqformers.proteins.annotate import annotation_table
from seqformers.targets.scan import scan_target_files
from tests.conftest import ROOT
from tests.hub.forks import Forks
from tests.hub.loopback import LoopbackHub

HOSTILE = "<img/src=x/onerror=document.title='hit'>$x^"
CARD = "---\nlicense: apache-2.0\n---\n# Tiny\n"
PICTURES = ROOT / "docs" / "pictures"
HOSTILE_SEQUENCE = {
    "space": "ACGT" * 20, "targets": "GGCAUCGAUUCGGAUCUUAGCGAAUUCGCGAUUCAGGCAUUAGG", "guides": "ACGT" * 20,
    "phages": "ACGTTGCATT" * 60, "proteins": "MKKTAIAIAVALAGFATVAQA",
}  # fmt: skip
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def sequences(rows: int, length: int, *, rich: bool, seed: int) -> list[str]:
    letters = torch.randint(0, 4, (rows, length), generator=torch.Generator().manual_seed(seed))
    if rich:
        letters[:, ::2] = 0
    return ["".join("ACGT"[i] for i in row) for row in letters]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learnt to tell A-rich sequences from even ones, in windows of up to 64 bases."""
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=3,
        initializer_range=0.15,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label={0: "even", 1: "A-rich"},
    )
    model, tokenizer = KmerBertForSequenceClassification(config), KmerTokenizer(k=3, model_max_length=64)
    texts = sequences(64, 60, rich=False, seed=0) + sequences(64, 60, rich=True, seed=1)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.tensor([0] * 64 + [1] * 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return write_model_repository(
        tmp_path_factory.mktemp("space") / "run", model.eval(), tokenizer=tokenizer, card=CARD
    )


@pytest.fixture(scope="module")
def fasta() -> str:
    (even,), (rich,) = sequences(1, 300, rich=False, seed=7), sequences(1, 300, rich=True, seed=8)
    return f">even_one\n{even}\n>rich_one some words\n{rich[:150]}\n{rich[150:]}\n>half\n{even[:150]}{rich[:150]}\n"


@pytest.fixture(scope="module")
def space(run: Path, fasta: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("space") / "out", run, title="A-rich or even", examples=[fasta])


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the pair CNN in the package."""
    return write_space(tmp_path_factory.mktemp("space") / "targets", "pair_cnn", title="miRNA targets")


@pytest.fixture(scope="module")
def targetnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the TargetNet in the package, which lies there without its code."""
    return write_space(tmp_path_factory.mktemp("space") / "targetnet", packaged_model("targetnet"))


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the guide model in the package."""
    return write_space(tmp_path_factory.mktemp("space") / "guides", "deepcpf1", title="Cpf1 guides")


@pytest.fixture(scope="module")
def phages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the phage detector in the package, by the name that people give it."""
    return write_space(tmp_path_factory.mktemp("space") / "phages", "phage", title="Phages among contigs")


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the protein annotator in the package."""
    return write_space(tmp_path_factory.mktemp("space") / "proteins", "protein", title="Proteins")


@pytest.fixture(scope="module")
def url(space: Path) -> Iterator[str]:
    """Address of the classifier's page."""
    with started(space) as address:
        yield address


@contextmanager
def started(space: Path) -> Iterator[str]:
    """The app started as its card says, without a network; its address."""
    pytest.importorskip("gradio", reason="gradio is in the space extra")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    environment["PYTHONUNBUFFERED"] = "1"
    with (space.parent / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            found = re.search(r"Running on local URL: +(http://127\.0\.0\.1:\d+)", (space.parent / "log").read_text())
            if found or process.poll() is not None:
                break
            time.sleep(0.2)
        assert found, (space.parent / "log").read_text()[-3000:]
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def test_what_is_written(space: Path):
    assert {path.name for path in space.iterdir()} == {
        ".seqformers.json",
        "README.md",
        "app.py",
        "common.py",
        "model",
        "requirements.txt",
        "settings.json",
    }
    assert not any("seqformers" in path.read_text() for path in space.glob("*.py"))
    assert (space / "model" / "modeling_kmer_bert.py").is_file()
    assert not list(space.rglob("*.bin"))


def test_an_earlier_space_is_replaced_and_nothing_else(space: Path, run: Path, tmp_path: Path):
    shutil.copytree(space, tmp_path / "space")
    settings = tmp_path / "space" / "settings.json"
    write_space(tmp_path / "space", run, title="again", overwrite=True)
    assert json.loads(settings.read_text())["title"] == "again"
    (tmp_path / "space" / "notes.txt").write_text("years")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        write_space(tmp_path / "space", run, title="never", overwrite=True)
    shutil.copytree(run, tmp_path / "a run of mine")  # no name for the Hub
    assert write_space(tmp_path / "named", tmp_path / "a run of mine").is_dir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "app.py").write_text("mine")
    with pytest.raises(FileExistsError, match="no earlier output of `space`"):
        write_space(tmp_path / "mine", run, overwrite=True)
    with pytest.raises(ValueError, match="is the input"):
        write_space(run, run, overwrite=True)
    assert (tmp_path / "mine" / "app.py").read_text() == "mine" and (run / "model.safetensors").is_file()


def test_it_is_pushed_as_a_space(space: Path, hub: LoopbackHub):
    pushed = push_to_hub(space, "loopback/space", repo_type="space")
    assert pushed.url == f"{hub.url}/spaces/loopback/space"
    assert {"app.py", "model/model.safetensors"} <= set(hub.files("loopback/space", "space"))


def test_refusals(run: Path, space: Path, tmp_path: Path):
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_space(space, run)
    with pytest.raises(ValueError, match="between 1 and 64 letters"):
        write_space(tmp_path / "a", run, window=65)
    config = KmerBertConfig(k=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    write_model_repository(tmp_path / "masked", KmerBertForMaskedLM(config), tokenizer=KmerTokenizer(k=3), card=CARD)
    with pytest.raises(ValueError, match="holds a KmerBertForMaskedLM"):
        write_space(tmp_path / "b", tmp_path / "masked")
    with pytest.raises(ValueError, match=r"2 inputs .* 1 examples do not fit"):
        write_space(tmp_path / "c", packaged_model("targetnet"), examples=[">m\nUGAGGUAGUAGGUUGUAUAGUU"])
    with pytest.raises(ValueError, match="window is for classifiers"):
        write_space(tmp_path / "d", packaged_model("deepcpf1"), window=34)
    assert not [path for path in tmp_path.iterdir() if path.name != "masked"]


def call(url: str, text: str, folder: Path) -> Any:
    from gradio_client import Client

    return Client(url, verbose=False, download_files=str(folder), httpx_kwargs={"timeout": 120}).predict(
        text, None, api_name="/run"
    )


def test_answers_over_its_api(url: str, fasta: str, run: Path, tmp_path: Path):
    table, _picture, download = call(url, fasta, tmp_path)
    rows = [dict(zip(table["headers"], row, strict=True)) for row in table["data"]]
    assert [(row["name"], row["length"], row["windows"]) for row in rows] == [
        ("even_one", 300, 5),
        ("rich_one", 300, 5),
        ("half", 300, 5),
    ]
    assert [row["class"] for row in rows[:2]] == ["even", "A-rich"]
    with Path(download).open() as file:
        assert [row["name"] for row in csv.DictReader(file, delimiter="\t")] == ["even_one", "rich_one", "half"]
    # One window by hand: the page's numbers are the model's.
    model = KmerBertForSequenceClassification.from_pretrained(run).eval()
    tokenizer = KmerTokenizer.from_pretrained(run)
    sequence = fasta.split("\n")[1][:60]
    expected = model(**tokenizer([sequence], return_tensors="pt")).logits.softmax(-1)[0, 1].item()
    table, *_ = call(url, sequence, tmp_path)
    assert table["data"][0][-1] == pytest.approx(expected, abs=1e-4)


def test_bad_input_is_said(url: str, tmp_path: Path):
    from gradio_client.exceptions import AppError

    for text, message in (
        ("", "Paste a sequence"),
        (">a\nAC1GT", "'1' at position 3"),
        (">a\n>b\nACGT", "a has no"),
        (">a\nAC\n>a\nGT", "a is there twice"),
    ):
        with pytest.raises(AppError, match=message):
            call(url, text, tmp_path)


# Calls what the button calls, in an interpreter without seqformers; the arguments come as JSON.
_PRESS = """
import json, os, runpy, sys
import gradio
os.chdir(sys.argv[1])
sys.path.insert(0, sys.argv[1])
page = runpy.run_path("app.py")
said = []
for arguments in json.loads(sys.argv[2]) or [None]:
    try:
        table, figure, file = page["run"](*(arguments or [*page["SETTINGS"]["examples"][0], None, "TTTV"]))
        figure.savefig(sys.argv[3])
        said.append(open(file).read())
    except gradio.Error as error:
        said.append(error.message)
json.dump(said, open(sys.argv[4], "w"))
"""


@pytest.fixture
def press(forks: Forks, tmp_path: Path) -> Callable[..., list[str]]:
    """Answers of a page, the downloaded table or the error shown, to each list of arguments."""
    pytest.importorskip("gradio", reason="gradio is in the space extra")

    def press(space: Path, *calls: list[str | None]) -> list[str]:
        (tmp_path / "press.py").write_text(_PRESS)
        picture, answers = tmp_path / "picture.png", tmp_path / "answers.json"
        done = forks.run(
            tmp_path / "press.py", str(space), json.dumps(calls), str(picture), str(answers), folder=tmp_path
        )
        assert done.code == 0, done.stderr[-3000:]
        assert picture.stat().st_size > 5_000
        return json.loads(answers.read_text())

    return press


@pytest.mark.parametrize(("page", "model"), [("targets", None), ("targetnet", "targetnet")])
def test_the_page_of_targets_answers_as_the_command(
    page: str, model: str | None, request: pytest.FixtureRequest, press: Callable[..., list[str]], tmp_path: Path
):
    space = request.getfixturevalue(page)
    assert not any(re.search("(?m)^(from|import) seqformers", path.read_text()) for path in space.glob("*.py"))
    mirna, utr = json.loads((space / "settings.json").read_text())["examples"][0]
    (tmp_path / "m.fa").write_text(mirna)
    (tmp_path / "u.fa").write_text(utr)
    table, sites, short, protein, nothing = press(
        space, [mirna, None, None, str(tmp_path / "u.fa")], [mirna, None, utr, None, True],
        [mirna, None, "ACGU", None], [mirna, None, ">p\nMKLV", None], ["", None, utr, None],
    )  # fmt: skip
    files = tmp_path / "m.fa", tmp_path / "u.fa"
    scan_target_files(*files, tmp_path / "pairs.tsv", model=model, progress=False)
    scan_target_files(*files, tmp_path / "sites.tsv", model=model, sites=True, progress=False)
    found, expected = (pd.read_csv(source, sep="\t") for source in (io.StringIO(table), tmp_path / "pairs.tsv"))
    expected = expected.sort_values("score", ascending=False, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    assert found.site_type[0] == "8mer" and short.splitlines()[1].split("\t")[2:4] == ["0.0", "0"]
    every, expected = (pd.read_csv(source, sep="\t") for source in (io.StringIO(sites), tmp_path / "sites.tsv"))
    order = ["mrna_id", "start"]
    every, expected = (each.sort_values(order, ignore_index=True) for each in (every, expected))
    pd.testing.assert_frame_equal(every, expected, rtol=1e-4)
    assert "'L' at position 3 is no nucleotide" in protein and nothing == "Paste a miRNA, or choose a file."


def test_the_page_of_guides_answers_as_the_command(guides: Path, press: Callable[..., list[str]], tmp_path: Path):
    (gene,) = json.loads((guides / "settings.json").read_text())["examples"][0]
    (tmp_path / "gene.fa").write_text(gene)
    table, bad_pam, none = press(guides, [gene, None, "tttv"], [gene, None, "TTT"], ["ACGT" * 20, None, "TTTV"])
    found = pd.read_csv(io.StringIO(table), sep="\t")
    expected = guide_table(tmp_path / "gene.fa", model="fast")
    shared = ["record_id", "rank", "strand", "pam_start", "cut_start", "pam", "protospacer", "score", "gc"]
    pd.testing.assert_frame_equal(found[shared], expected[shared], rtol=1e-4, check_dtype=False)
    assert found.unknown_letters.sum() == 1  # a context that the end cuts off
    assert "must be 4 IUPAC letters" in bad_pam and none.startswith("There is no TTTV")


def test_the_page_of_phages_answers_as_the_command(phages: Path, press: Callable[..., list[str]], tmp_path: Path):
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 4_700))
    contigs = (
        f">plain\n{letters}\n>{HOSTILE}\n{letters[:25]}{letters[700:1900]}{letters[:25]}\n>short\n{letters[:90]}\n"
    )
    (tmp_path / "contigs.fa").write_text(contigs)
    table, from_file, protein, nothing, unknown = press(
        phages, [contigs, None, "relaxed"], [None, str(tmp_path / "contigs.fa"), "relaxed"],
        [">p\nMKLVAA", None, "default"], ["", None, "default"], [">n\n" + "N" * 900, None, "default"],
    )  # fmt: skip
    assert from_file == table
    find_phage_files(
        tmp_path / "contigs.fa", tmp_path / "expected.tsv", preset="relaxed", min_length=1, ends=True, progress=False
    )
    found, expected = (pd.read_csv(source, sep="\t") for source in (io.StringIO(table), tmp_path / "expected.tsv"))
    pd.testing.assert_frame_equal(found, expected, atol=2e-4)
    assert found.terminal_repeat[1] == "direct:25" and found["class"].isna().tolist() == [False, False, True]
    assert "'L' at position 3 is no letter of DNA" in protein and nothing == "Paste contigs, or choose a file."
    assert unknown.splitlines()[1].split("\t")[3] == "1.0"  # n_fraction, and no class


def test_a_detector_of_other_classes_gets_the_plain_page(tmp_path: Path):
    config = CodingProfileConfig(word_length=2, num_gaps=0, hidden_size=4, id2label={0: "fern", 1: "moss"})
    model = CodingProfileForSequenceClassification(config)
    write_model_repository(tmp_path / "run", model, tokenizer=KmerTokenizer(k=1), card=CARD)
    space = write_space(tmp_path / "space", tmp_path / "run")
    assert not (space / "phage_contig.py").exists() and "Classify" in (space / "app.py").read_text()


def test_the_page_of_proteins_answers_as_the_command(proteins: Path, press: Callable[..., list[str]], tmp_path: Path):
    (fasta,) = json.loads((proteins / "settings.json").read_text())["examples"][0]
    fasta = f"{fasta}\n>{HOSTILE}\nMKUXBZAW\n"
    (tmp_path / "p.fa").write_text(fasta)
    table, dna, odd = press(proteins, [fasta, None], [">d\n" + "ACGT" * 8, None], [">o\nMK-V", None])
    found, expected = pd.read_csv(io.StringIO(table), sep="\t"), annotation_table(tmp_path / "p.fa")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, check_dtype=False)
    assert found.topology[0].startswith("SSSS") and found.num_membrane[1] == 2
    assert "d is DNA or RNA" in dna and "'-' at position 3 is no residue" in odd


def test_a_regression_shows_values(press: Callable[..., list[str]], tmp_path: Path):
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=1
    )
    model, tokenizer = KmerBertForSequenceClassification(config).eval(), KmerTokenizer(k=3)
    write_model_repository(tmp_path / "run", model, tokenizer=tokenizer, card=CARD)
    space = write_space(tmp_path / "space", tmp_path / "run")
    table, named = press(space, ["ACGTTGCA", None], [">$x^$=1+1" + "y" * 300 + "\nACGTTGCA", None])
    assert "$x^$=1+1yyy" in named  # a name that would be a formula in the picture, and a long one
    expected = model(**tokenizer(["ACGTTGCA"], return_tensors="pt")).logits.item()
    row = dict(zip(*(line.split("\t") for line in table.splitlines()), strict=True))
    assert float(row["value"]) == pytest.approx(expected, abs=1e-4) and "class" not in row


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver (make browser)")
@pytest.mark.parametrize(
    ("page", "boxes", "shown", "picture"),
    [
        ("space", ["fasta"], ("rich_one", "even_one", "A-rich"), "space.png"),
        ("targets", ["mirna", "fasta"], ("hsa-let-7a-5p", "8mer", "UGAGGUAGUA"), "space_targets.png"),
        ("guides", ["fasta"], ("CCAGGATTCAGCTGAAGCTCTGG", "protospacer", "TTTA"), "space_guides.png"),
        ("phages", ["fasta"], ("made_up", "score_phage", "bacterium"), "space_phages.png"),
        ("proteins", ["fasta"], ("membrane", "topology", "SSSSSSSS"), "space_proteins.png"),
    ],
)
def test_in_a_browser(
    page: str, boxes: list[str], shown: tuple[str, ...], picture: str, request: pytest.FixtureRequest, tmp_path: Path
):  # fmt: skip
    pytest.importorskip("selenium", reason="selenium is in the browser extra (make browser)")
    folder: Path = request.getfixturevalue(page)
    examples = json.loads((folder / "settings.json").read_text())["examples"][0]
    with (
        nullcontext(request.getfixturevalue("url")) if page == "space" else started(folder) as url,
        browser() as driver,
    ):
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        driver.get(url)
        wait = WebDriverWait(driver, 120)
        example = wait.until(
            lambda d: d.find_element(By.CSS_SELECTOR, "#examples tbody tr, #examples .gallery button")
        )
        driver.execute_script("arguments[0].click()", example)
        for box, text in zip(boxes, examples, strict=True):
            found = driver.find_element(By.CSS_SELECTOR, f"#{box} textarea")
            wait.until(lambda _, found=found, text=text: found.get_attribute("value") == text)
        driver.find_element(By.ID, "run").click()
        wait.until(lambda d: shown[0] in d.find_element(By.ID, "table").text)
        table = driver.find_element(By.ID, "table").text
        assert [word for word in shown if word not in table] == [], table
        image = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#picture img"))
        wait.until(lambda d: d.execute_script("return arguments[0].naturalWidth", image) > 300)
        link = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#download a[href]"))
        downloaded = get_session().get(link.get_attribute("href")).text
        assert downloaded.startswith(("name\t", "mirna_id\t", "record_id\t", "id\t")) and shown[0] in downloaded
        time.sleep(0.5)
        shot = (PICTURES if os.environ.get("SEQFORMERS_KEEP_SCREENSHOT") else tmp_path) / picture
        assert driver.save_screenshot(str(shot))
        assert shot.stat().st_size > 10_000
        type_into(driver, "fasta", "")
        driver.find_element(By.ID, "run").click()
        said = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, ".toast-body").text)
        assert "or choose a file" in said
        type_into(driver, "fasta", f">{HOSTILE}\n{HOSTILE_SEQUENCE[page]}")
        driver.find_element(By.ID, "run").click()
        if page == "guides":  # refuses a gene without guides
            wait.until(lambda d: "whole guide" in d.find_element(By.TAG_NAME, "body").text)
        else:
            wait.until(lambda d: HOSTILE[:30] in d.find_element(By.ID, "table").text)
        type_into(driver, "fasta", f">{HOSTILE}\nAC1GT")
        driver.find_element(By.ID, "run").click()
        wait.until(lambda d: "'1'" in d.find_element(By.TAG_NAME, "body").text)
        # A file goes before what is pasted.
        record = examples[-1].removeprefix(">").split("\n>")[0].partition("\n")[2]
        (tmp_path / "dropped.fa").write_text(f">from_file\n{record}\n")
        driver.find_element(By.CSS_SELECTOR, "#fasta-file input[type=file]").send_keys(str(tmp_path / "dropped.fa"))
        wait.until(lambda d: "dropped" in d.find_element(By.ID, "fasta-file").get_attribute("textContent"))
        driver.find_element(By.ID, "run").click()
        wait.until(lambda d: "from_file" in d.find_element(By.ID, "table").text)
        assert driver.title != "hit"


def type_into(driver: Any, box: str, text: str) -> None:
    """Replace what stands in a text box, as by pasting."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    found = driver.find_element(By.CSS_SELECTOR, f"#{box} textarea")
    found.send_keys(Keys.CONTROL, "a")
    found.send_keys(Keys.DELETE)
    found.send_keys(text)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window, and without the network."""
    from selenium import webdriver
    from selenium.common import WebDriverException

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1100,1500",
    ):
        options.add_argument(argument)
    # No name but this machine's is found: the page must not need the network.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    try:
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    except WebDriverException:  # a browser that did not come up in time on a busy machine gets a second chance
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
