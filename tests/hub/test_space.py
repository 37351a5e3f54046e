"""The Space of a run: written, started, asked over its API and used in a real browser where there is one."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.hub.push import push_to_hub
from seqformers.hub.repository import write_model_repository
from seqformers.hub.space import write_space
from tests.conftest import ROOT
from tests.hub.loopback import LoopbackHub

CARD = "---\nlicense: apache-2.0\n---\n# Tiny\n"
PICTURE = ROOT / "docs" / "pictures" / "space.png"
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
def url(space: Path) -> Iterator[str]:
    """The app started as its card says, without a network; its address."""
    pytest.importorskip("gradio", reason="gradio is in the space extra")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    environment["PYTHONUNBUFFERED"] = "1"
    with (space.parent / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            found = re.search(r"http://127\.0\.0\.1:\d+", (space.parent / "log").read_text())
            if found or process.poll() is not None:
                break
            time.sleep(0.2)
        assert found, (space.parent / "log").read_text()[-3000:]
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def test_what_is_written(space: Path):
    assert {path.name for path in space.iterdir()} == {
        "README.md",
        "app.py",
        "model",
        "requirements.txt",
        "settings.json",
    }
    assert "seqformers" not in (space / "app.py").read_text()
    assert (space / "model" / "modeling_kmer_bert.py").is_file()
    assert not list(space.rglob("*.bin"))


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


def call(url: str, text: str, folder: Path) -> Any:
    from gradio_client import Client

    return Client(url, verbose=False, download_files=str(folder), httpx_kwargs={"timeout": 120}).predict(
        text, None, api_name="/classify"
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

    for text, message in (("", "Paste a sequence"), (">a\nAC1GT", "'1' at position 3"), (">a\n>b\nACGT", "a has no")):
        with pytest.raises(AppError, match=message):
            call(url, text, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver (make browser)")
def test_in_a_browser(url: str, fasta: str, tmp_path: Path):
    pytest.importorskip("selenium", reason="selenium is in the browser extra (make browser)")
    from selenium import webdriver
    from selenium.common import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

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
        driver.get(url)
        wait = WebDriverWait(driver, 120)
        box = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#fasta textarea"))
        assert driver.title == "A-rich or even"
        box.send_keys(fasta)
        driver.find_element(By.ID, "classify").click()
        wait.until(lambda d: "rich_one" in d.find_element(By.ID, "table").text)
        shown = driver.find_element(By.ID, "table").text
        assert "even_one" in shown and "A-rich" in shown
        picture = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#picture img"))
        wait.until(lambda d: d.execute_script("return arguments[0].naturalWidth", picture) > 300)
        link = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#download a[href]"))
        downloaded = httpx2.get(link.get_attribute("href")).text
        assert downloaded.startswith("name\tlength") and "rich_one" in downloaded
        time.sleep(0.5)
        shot = PICTURE if os.environ.get("SEQFORMERS_KEEP_SCREENSHOT") else tmp_path / "space.png"
        shot.parent.mkdir(parents=True, exist_ok=True)
        assert driver.save_screenshot(str(shot))
        assert shot.stat().st_size > 10_000
    finally:
        driver.quit()
