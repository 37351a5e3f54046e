"""`seqformers push` against the loopback Hub: what arrives, what stays behind, and every fault of the list."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from huggingface_hub import HfApi, constants
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.datasets import push_dataset
from seqformers.hub.download import fetch_repository
from seqformers.hub.push import plan_push, push_to_hub
from tests.hub.loopback import LoopbackHub

CARD = """---
license: apache-2.0
library_name: transformers
tags: [seqformers, dna]
---

# Tiny

```python
model = AutoModelForMaskedLM.from_pretrained(".", trust_remote_code=True)
```
"""
REPO = "loopback/tiny"


def tiny_bert() -> BertForMaskedLM:
    return BertForMaskedLM(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with what training leaves in it, wanted or not."""
    folder = tmp_path / "run"
    tiny_bert().save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "training_args.bin").write_bytes(b"a pickle")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(b"a pickle")
    (folder / "metrics.json").write_text('{"mcc": 0.5}')
    return folder


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file's time of change and hash: what 'untouched' means."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    before = state_of(folder)
    yield
    assert state_of(folder) == before


def test_what_arrives_is_the_run_without_its_pickles(hub: LoopbackHub, run: Path):
    with untouched(run):
        pushed = push_to_hub(run, REPO)
    files = hub.files(REPO)
    assert set(files) == {".gitattributes", "README.md", "config.json", "metrics.json", "model.safetensors"}
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert set(pushed.plan.left_out.values()) == {"pickle", "intermediate checkpoint"}
    assert (pushed.tag, pushed.changed, pushed.pull_request) == ("v1", True, None)
    assert pushed.url == f"{hub.url}/{REPO}"
    scope: dict[str, Any] = {}
    exec(pushed.snippet, scope)
    assert isinstance(scope["model"], BertForMaskedLM)


def test_the_card_on_the_hub_loads_from_there(hub: LoopbackHub, run: Path):
    push_to_hub(run, "tiny")  # one's own account
    assert f'from_pretrained("{REPO}", trust_remote_code=True)'.encode() in hub.files(REPO)["README.md"]
    assert [model.id for model in HfApi().list_models(filter=["seqformers", "dna"])] == [REPO]


def test_a_second_push_sends_what_changed(hub: LoopbackHub, run: Path):
    first = push_to_hub(run, REPO)
    hub.log.clear()
    again = push_to_hub(run, REPO)
    assert (again.changed, again.tag, again.commit) == (False, None, first.commit)
    (run / "metrics.json").write_text('{"mcc": 0.6}')
    third = push_to_hub(run, REPO)
    assert third.tag == "v2" and not any(method == "PUT" for method, _ in hub.log)
    assert json.loads(hub.files(REPO, revision="v1")["metrics.json"])["mcc"] == 0.5
    assert json.loads(hub.files(REPO, revision="v2")["metrics.json"])["mcc"] == 0.6


def test_old_shards_do_not_stay_beside_new_weights(hub: LoopbackHub, run: Path, tmp_path: Path):
    sharded = tmp_path / "sharded"
    tiny_bert().save_pretrained(sharded, max_shard_size="1KB")
    (sharded / "README.md").write_text(CARD)
    push_to_hub(sharded, REPO)
    assert "model.safetensors.index.json" in hub.files(REPO)
    push_to_hub(run, REPO)
    assert [path for path in hub.files(REPO) if "safetensors" in path] == ["model.safetensors"]


def test_private_branch_tag_and_pull_request(hub: LoopbackHub, run: Path):
    branch = push_to_hub(run, REPO, private=True, revision="trial", tag="first")
    assert HfApi().model_info(REPO).private and branch.tag == "first"
    assert "model.safetensors" not in hub.files(REPO)
    assert "model.safetensors" in hub.files(REPO, revision="trial")
    opened = push_to_hub(run, REPO, create_pr=True)
    assert opened.pull_request.endswith("/discussions/1") and opened.tag is None
    assert "model.safetensors" not in hub.files(REPO)
    with pytest.raises(ValueError, match="has a tag 'first' already"):
        push_to_hub(run, REPO, tag="first")


def test_command_line(hub: LoopbackHub, run: Path):
    dry = CliRunner().invoke(app, ["push", str(run), REPO, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "model.safetensors" in dry.output and "training_args.bin (pickle)" in dry.output
    assert f"{sum((run / name).stat().st_size for name in ('config.json', 'metrics.json'))}"
    assert hub.log == []
    done = CliRunner().invoke(app, ["push", str(run), REPO, "--private", "--tag", "paper"])
    assert done.exit_code == 0, done.output
    assert "from_pretrained" in done.stdout and "tag paper" in done.stderr
    assert "paper" in [tag.name for tag in HfApi().list_repo_refs(REPO).tags]


class TestRefusedBeforeAnythingIsSent:
    @pytest.fixture(autouse=True)
    def nothing_sent(self, hub: LoopbackHub, run: Path) -> Iterator[None]:
        with without_traces(run):
            yield
        assert hub.log == []

    def refuse(self, run: Path, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            push_to_hub(run, REPO)

    def test_no_folder(self, run: Path):
        with pytest.raises(FileNotFoundError, match="no folder"):
            push_to_hub(run / "nothing", REPO)

    def test_no_card(self, run: Path):
        (run / "README.md").unlink()
        self.refuse(run, r"README\.md is missing")

    @pytest.mark.parametrize("text", ["# no metadata", "---\nlicense: [\n---\n", "---\nmodel-index: 3\n---\n"])
    def test_bad_card(self, run: Path, text: str):
        (run / "README.md").write_text(text)
        self.refuse(run, "README.md")

    def test_weights_cut_short(self, run: Path):
        weights = (run / "model.safetensors").read_bytes()
        (run / "model.safetensors").write_bytes(weights[:-100])
        self.refuse(run, r"model\.safetensors: cannot be read")

    def test_pickled_weights_only(self, run: Path):
        (run / "model.safetensors").rename(run / "pytorch_model.bin")
        self.refuse(run, "no weights")

    def test_missing_code(self, run: Path):
        config = json.loads((run / "config.json").read_text()) | {"auto_map": {"AutoModel": "modeling_x.X"}}
        (run / "config.json").write_text(json.dumps(config))
        self.refuse(run, r"modeling_x\.py is missing: auto_map")

    def test_token_in_a_file(self, run: Path):
        token = "hf_" + "a" * 34
        (run / "recipe.yaml").write_text(f"task: finetune\n# HF_TOKEN={token}\n")
        (run / "notes.txt").write_text(f"export HF_TOKEN={token}")
        with pytest.raises(ValueError, match=r"recipe\.yaml: holds an access token of the Hub in line 2") as caught:
            push_to_hub(run, REPO)
        assert token not in str(caught.value) and "notes.txt" not in str(caught.value)
        with pytest.raises(ValueError, match=r"notes\.txt: holds an access token of the Hub in line 1"):
            push_to_hub(run, REPO, include=["notes.txt"])

    def test_link_out_of_the_folder(self, run: Path, tmp_path: Path):
        (tmp_path / "secret.txt").write_text("secret")
        (run / "recipe.yaml").symlink_to(tmp_path / "secret.txt")
        self.refuse(run, "leads out of")


@contextmanager
def without_traces(run: Path) -> Iterator[None]:
    """The test damages the folder first, so only what pushing adds counts."""
    yield
    assert not list(run.rglob(".cache")) and not list(run.rglob("*.incomplete"))


def test_what_else_lies_in_the_folder_stays_there(hub: LoopbackHub, run: Path):
    for name in (".env", "notes.txt", "venv/lib/x.py", "seeds/1/metrics.json", "weights.PT", ".p.seqformers.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("{}")
    done = CliRunner().invoke(app, ["push", str(run), REPO, "--include", "note*"])
    assert done.exit_code == 0, done.output
    sent = {".gitattributes", "README.md", "config.json", "metrics.json", "model.safetensors"}
    assert set(hub.files(REPO)) == sent | {"notes.txt", "seeds/1/metrics.json"}
    for line in (".env (may hold secrets)", "venv/ (of a tool)", "weights.PT (pickle)", "seqformers.json (note for"):
        assert f"left out {line}" in done.stderr or line in done.stderr


def test_no_folder_of_this_machine_is_published(hub: LoopbackHub, run: Path):
    (run / "recipe.yaml").write_text(f"data:\n  path: {run.parent}/my reads\n")
    (run / "metrics.json").write_text(json.dumps({"command": f"seqformers finetune {run.parent}/r.yaml a=b"}))
    (run / "README.md").write_text(f"{CARD}\nTrained on `{run.parent}/reads`.\n")
    config = json.loads((run / "config.json").read_text()) | {"_name_or_path": str(run.parent / "base")}
    (run / "config.json").write_text(json.dumps(config))
    with untouched(run):
        push_to_hub(run, REPO)
    files = hub.files(REPO)
    assert not any(str(run.parent).encode() in content for content in files.values())
    assert files["recipe.yaml"] == b"data:\n  path: my reads\n"
    assert json.loads(files["metrics.json"])["command"] == "seqformers finetune r.yaml a=b"
    assert json.loads(files["config.json"])["_name_or_path"] == "base"
    assert not push_to_hub(run, REPO).changed


class TestFaults:
    def test_a_push_killed_before_its_tag_is_tagged_by_the_next(
        self, hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch
    ):
        with monkeypatch.context() as patch:
            patch.setattr(HfApi, "create_tag", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                push_to_hub(run, REPO)
        assert "model.safetensors" in hub.files(REPO) and not HfApi().list_repo_refs(REPO).tags
        again = push_to_hub(run, REPO)
        assert (again.changed, again.tag) == (False, "v1")
        assert "model.safetensors" in hub.files(REPO, revision="v1")
        assert push_to_hub(run, REPO).tag is None
        named = push_to_hub(run, REPO, tag="paper")
        assert named.tag == "paper" and push_to_hub(run, REPO).tag is None

    def test_upload_cut_off_leaves_nothing_visible_and_a_second_push_completes_it(self, hub: LoopbackHub, run: Path):
        (run / "extra.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-4] + b"\0\0\0\0")
        victim = hashlib.sha256((run / "extra.safetensors").read_bytes()).hexdigest()
        with untouched(run), hub.fault("PUT", victim, status=400), pytest.raises(OSError, match="cut off") as caught:
            push_to_hub(run, REPO)
        assert "Nothing of it is visible" in str(caught.value)
        assert set(hub.files(REPO)) == {".gitattributes"}
        arrived = [path for method, path in hub.log if method == "PUT"]
        hub.log.clear()
        assert push_to_hub(run, REPO).tag == "v1"
        sent = [path for method, path in hub.log if method == "PUT"]
        # Files go up side by side: whatever had not begun when one broke off is sent now, and nothing is sent twice.
        assert f"/lfs/{victim}" in sent and len(sent) == len(set(sent))
        assert not set(sent) & (set(arrived) - {f"/lfs/{victim}"})
        assert "extra.safetensors" in hub.files(REPO)

    def test_connection_lost_in_the_middle_of_a_file_is_taken_up_again(self, hub: LoopbackHub, run: Path):
        with hub.fault("PUT", "/lfs/", cut=True, times=1) as fault:
            push_to_hub(run, REPO)
        assert fault.happened == 1
        assert hub.files(REPO)["model.safetensors"] == (run / "model.safetensors").read_bytes()

    @pytest.mark.parametrize("where", ["/preupload/", "/lfs/", "/commit/", "/tree/", "/refs", "/tag/"])
    def test_killed_at_any_moment_the_next_push_completes_it(self, hub: LoopbackHub, run: Path, where: str):
        HfApi().create_repo(REPO)
        child = os.fork()
        if child == 0:  # a push of its own, until the Hub hears of a request of this kind
            try:
                push_to_hub(run, REPO)
            finally:
                os._exit(1)
        method = "PUT" if where == "/lfs/" else "GET" if where in ("/tree/", "/refs") else "POST"
        with untouched(run), hub.fault(method, where, before=lambda: os.kill(child, signal.SIGKILL), times=1):
            _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        again = push_to_hub(run, REPO)
        tags = [tag.name for tag in HfApi().list_repo_refs(REPO).tags]
        assert tags == ["v1"] and again.tag in ("v1", None)
        files = hub.files(REPO, revision="v1")
        assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
        assert set(files) == {".gitattributes", "README.md", "config.json", "metrics.json", "model.safetensors"}

    def test_wrong_token(self, hub: LoopbackHub, run: Path):
        with untouched(run), pytest.raises(OSError, match="does not know this token") as caught:
            push_to_hub(run, REPO, token="hf_wrongwrongwrong")
        assert "hf_wrong" not in str(caught.value) and not hub.repositories

    def test_token_that_may_only_read(self, hub: LoopbackHub, run: Path):
        with pytest.raises(OSError, match="needs write access"):
            push_to_hub(run, REPO, token=hub.read_token)

    def test_no_network(self, run: Path):
        code = f"from seqformers.hub.push import push_to_hub; push_to_hub({str(run)!r}, {REPO!r})"
        environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert "no connection to http://127.0.0.1:9" in done.stderr.splitlines()[-1]
        assert os.environ["HF_TOKEN"] not in done.stderr

    def test_offline_is_said(self, hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(OSError, match="HF_HUB_OFFLINE is set"):
            push_to_hub(run, REPO)

    def test_another_model_lives_there(self, hub: LoopbackHub, run: Path):
        config = json.loads((run / "config.json").read_text())
        push_to_hub(run, REPO)
        (run / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
        with pytest.raises(ValueError, match="exists and holds a bert model, this folder a gpt2 one"):
            push_to_hub(run, REPO)
        assert push_to_hub(run, REPO, overwrite=True).changed

    def test_somebody_pushed_in_between(self, hub: LoopbackHub, run: Path):
        push_to_hub(run, REPO)
        (run / "metrics.json").write_text("{}")
        api = HfApi()

        def theirs() -> None:
            api.upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id=REPO)

        fault = hub.fault("POST", "/preupload/", before=theirs, times=1)
        with untouched(run), fault, pytest.raises(OSError, match="somebody has pushed"):
            push_to_hub(run, REPO)
        assert push_to_hub(run, REPO).changed
        assert hub.files(REPO)["theirs.txt"] == b"theirs" and hub.files(REPO)["metrics.json"] == b"{}"

    def test_card_the_hub_refuses(self, hub: LoopbackHub, run: Path):
        (run / "README.md").write_text("---\nlicense: apache-2.0\ntags: dna\n---\n")
        with untouched(run), pytest.raises(ValueError, match="tags"):
            push_to_hub(run, REPO)
        assert set(hub.files(REPO)) == {".gitattributes"} and not hub.large

    def test_a_listing_that_differs_is_noticed(self, hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch):
        from tests.hub import store

        entry = store.Blob.entry
        wrong = lambda blob, path: entry(blob, path) | ({"oid": "0" * 40} if path == "metrics.json" else {})  # noqa: E731
        monkeypatch.setattr(store.Blob, "entry", wrong)
        with pytest.raises(OSError, match=r"metrics\.json arrived with another hash"):
            push_to_hub(run, REPO)


class TestFetch:
    def test_a_local_folder_is_itself(self, run: Path):
        assert fetch_repository(str(run)) == run

    def test_a_file_with_a_wrong_hash_is_refused_and_fetched_anew(self, hub: LoopbackHub, run: Path):
        push_to_hub(run, REPO)
        corrupt = hub.fault("GET", "model.safetensors", corrupt=True)
        with corrupt, pytest.raises(OSError, match=r"wrong hash of model\.safetensors"):
            fetch_repository(REPO)
        folder = fetch_repository(REPO)
        assert (folder / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
        AutoModelForMaskedLM.from_pretrained(folder)

    def test_disk_full(self, hub: LoopbackHub, run: Path):
        push_to_hub(run, "loopback/big")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (run / "model.safetensors").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
        try:
            with pytest.raises(OSError, match="no room left on the disk"):
                fetch_repository("loopback/big")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (fetch_repository("loopback/big") / "model.safetensors").stat().st_size == size

    def test_missing_and_unreachable(self, hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch):
        with pytest.raises(OSError, match="check the name"):
            fetch_repository("loopback/none")
        push_to_hub(run, "loopback/cached")
        cached = fetch_repository("loopback/cached")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert fetch_repository("loopback/cached") == cached
        with pytest.raises(OSError, match="not in the cache"):
            fetch_repository("loopback/uncached")


class TestData:
    @pytest.fixture
    def built(self, tmp_path: Path) -> Any:
        """Builds one configuration, as `seqformers build` lays it out."""

        def build(config: str, rows: int) -> Path:
            folder = tmp_path / config
            (folder / config).mkdir(parents=True)
            features = Features({"sequence": Value("large_string"), "label": ClassLabel(names=["host", "phage"])})
            data = Dataset.from_dict({"sequence": ["ACGT"] * rows, "label": [0, 1] * (rows // 2)}, features=features)
            data.to_parquet(folder / config / "train-00000-of-00001.parquet")
            (folder / "README.md").write_text(
                f"---\nlicense: cc0-1.0\nconfigs:\n- config_name: {config}\n  default: true\n  data_files:\n"
                f"  - split: train\n    path: {config}/train-*.parquet\n---\n# Data\n\n"
                f"## This build: `{config}`\n\n{rows} rows\n"
            )
            return folder

        return build

    def test_configurations_pushed_one_by_one_stay_together(self, hub: LoopbackHub, built: Any):
        repo = "loopback/reads"
        push_dataset(built("long", 30), repo)
        push_dataset(built("short", 20), repo)
        assert load_dataset(repo, split="train").num_rows == 30  # the first one stays the default
        short = load_dataset(repo, "short", split="train", streaming=True)
        assert sum(1 for _ in short) == 20 and short.features["label"].names == ["host", "phage"]
        card = hub.files(repo, "dataset")["README.md"].decode()
        assert "30 rows" in card and "20 rows" in card
        pushed = push_to_hub(built_again(built, "long", 10), repo, repo_type="dataset")
        assert "30 rows" not in hub.files(repo, "dataset")["README.md"].decode() and pushed.tag == "v3"
        assert load_dataset(repo, "long", split="train", revision="v3").num_rows == 10

    def test_scripts_stay_behind(self, hub: LoopbackHub, built: Any):
        folder = built("long", 4)
        (folder / "reads.py").write_text("")
        assert "reads.py" in plan_push(folder, "loopback/reads", repo_type="dataset").left_out
        with pytest.raises(ValueError, match=r"reads\.py: a data repository must not hold code"):
            plan_push(folder, "loopback/reads", repo_type="dataset", include=["*.py"])


def built_again(built: Any, config: str, rows: int) -> Path:
    import shutil

    folder = built("other", 2).parent
    shutil.rmtree(folder / config)
    return built(config, rows)
