"""The loopback Hub answers the stock clients as the Hub does. Nothing of seqformers is used here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    get_session,
    hf_hub_download,
    metadata_update,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoModel, AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from tests.hub.loopback import LoopbackHub

REPO = "loopback/thing"


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi()


@pytest.fixture
def repo(api: HfApi) -> str:
    api.create_repo(REPO)
    return REPO


def tiny_bert() -> BertForMaskedLM:
    return BertForMaskedLM(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )


def test_whoami_knows_its_tokens(hub: LoopbackHub, api: HfApi):
    assert api.whoami()["name"] == "loopback"
    assert api.whoami(token=hub.read_token)["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_wrong")


def test_create_twice_move_and_delete(api: HfApi, repo: str):
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(repo)
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    api.move_repo(repo, "loopback/moved")
    assert not api.repo_exists(repo) and api.repo_exists("loopback/moved")
    api.delete_repo("loopback/moved")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("loopback/moved")


def test_private_repositories_are_hidden_from_strangers(api: HfApi):
    api.create_repo("loopback/secret", private=True)
    assert api.model_info("loopback/secret").private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=False).model_info("loopback/secret")
    assert [model.id for model in api.list_models(author="loopback")] == []


def test_a_read_token_may_not_write(hub: LoopbackHub, repo: str):
    with pytest.raises(HfHubHTTPError, match="403"):
        HfApi(token=hub.read_token).upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo)


def test_files_large_and_small_come_back_as_they_went(api: HfApi, hub: LoopbackHub, repo: str, tmp_path: Path):
    content = {"notes/a.txt": b"small", "empty.txt": b"", "weights.safetensors": bytes(range(256)) * 100}
    operations = [CommitOperationAdd(path, data) for path, data in content.items()]
    info = api.create_commit(repo, operations, commit_message="First")
    entries = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True)}
    assert set(entries) == {*content, "notes", ".gitattributes"}
    assert entries["weights.safetensors"].lfs.sha256 == hashlib.sha256(content["weights.safetensors"]).hexdigest()
    folder = Path(snapshot_download(repo, local_dir=tmp_path / "copy"))
    assert {path: (folder / path).read_bytes() for path in content} == content
    assert api.model_info(repo).sha == info.oid
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["First", "initial commit"]
    assert api.get_paths_info(repo, ["weights.safetensors", "nothing"])[0].size == 25600
    assert api.verify_repo_checksums(repo, local_dir=folder).mismatches == []


def test_unchanged_files_are_not_sent_again(api: HfApi, hub: LoopbackHub, repo: str):
    content = b"\1" * 1000
    for _ in range(2):
        first = api.upload_file(path_or_fileobj=content, path_in_repo="a.safetensors", repo_id=repo)
    assert sum(path.endswith("/lfs/" + hashlib.sha256(content).hexdigest()) for _, path in hub.log) == 1
    assert first.oid == api.model_info(repo).sha and len(api.list_repo_commits(repo)) == 2


def test_large_files_go_up_in_parts(api: HfApi, hub: LoopbackHub, repo: str):
    content = bytes(range(256)) * (36 << 10)  # 9 MiB: two parts
    api.upload_file(path_or_fileobj=content, path_in_repo="big.safetensors", repo_id=repo)
    assert hub.files(repo)["big.safetensors"] == content
    assert sum(method == "PUT" for method, _ in hub.log) == 2


def test_a_commit_on_an_old_parent_is_refused_whole(api: HfApi, repo: str):
    old = api.model_info(repo).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo, parent_commit=old)
    assert Path(hf_hub_download(repo, "a.txt")).read_bytes() == b"1"


def test_pointers_to_nothing_are_refused(api: HfApi, hub: LoopbackHub, repo: str):
    lines = [
        {"key": "header", "value": {"summary": "bad"}},
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}},
    ]
    body = "\n".join(map(json.dumps, lines))
    headers = {"Authorization": f"Bearer {hub.token}"}
    assert (
        get_session().post(f"{hub.url}/api/models/{repo}/commit/main", content=body, headers=headers).status_code
        == 400
    )
    wrong = get_session().put(f"{hub.url}/lfs/{'0' * 64}", content=b"abc", headers=headers)
    assert wrong.status_code == 422 and "sha256" in wrong.json()["error"]


def test_branches_tags_and_pull_requests(api: HfApi, repo: str):
    api.create_branch(repo, branch="portable")
    api.upload_file(path_or_fileobj=b"p", path_in_repo="a.txt", repo_id=repo, revision="portable")
    api.create_tag(repo, tag="v1", revision="portable")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(repo, tag="v1")
    api.create_tag(repo, tag="v1", exist_ok=True)
    assert not api.file_exists(repo, "a.txt") and api.file_exists(repo, "a.txt", revision="v1")
    opened = api.upload_file(path_or_fileobj=b"q", path_in_repo="b.txt", repo_id=repo, create_pr=True)
    assert opened.pr_num == 1 and api.file_exists(repo, "b.txt", revision="refs/pr/1")
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert [branch.name for branch in refs.branches] == ["main", "portable"]
    assert ([tag.name for tag in refs.tags], len(refs.pull_requests)) == (["v1"], 1)
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="portable")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(repo, "a.txt", revision="v1")


def test_deletions(api: HfApi, hub: LoopbackHub, repo: str):
    names = ["keep.txt", "drop.txt", "folder/a.txt", "folder/b.txt"]
    api.create_commit(repo, [CommitOperationAdd(name, name.encode()) for name in names], commit_message="add")
    gone = [CommitOperationDelete("drop.txt"), CommitOperationDelete("folder/")]
    api.create_commit(repo, gone, commit_message="drop")
    assert set(hub.files(repo)) == {".gitattributes", "keep.txt"}
    with pytest.raises(EntryNotFoundError):
        api.delete_file("never.txt", repo)


def test_ranges_and_headers(api: HfApi, hub: LoopbackHub, repo: str):
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo="a.bin", repo_id=repo)
    url = f"{hub.url}/{repo}/resolve/main/a.bin"
    head = get_session().head(url)
    assert head.headers["X-Linked-Size"] == "10" and head.headers["X-Repo-Commit"] == api.model_info(repo).sha
    for asked, status, content in (("0-3", 206, b"0123"), ("7-", 206, b"789"), ("-2", 206, b"89"), ("10-", 416, b"")):
        answer = get_session().get(url, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (status, content)
        assert "Content-Range" in answer.headers


def test_what_is_missing_is_told_apart(api: HfApi, repo: str):
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("loopback/none", "a.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(repo, "a.txt", revision="none")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(repo, "a.txt")
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download(repo, "a.txt", local_files_only=True)


def test_listings_come_in_pages(api: HfApi, hub: LoopbackHub, repo: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "page", 3)
    names = [f"{i}.txt" for i in range(8)]
    api.create_commit(repo, [CommitOperationAdd(name, b"x") for name in names], commit_message="many")
    assert [entry.path for entry in api.list_repo_tree(repo)] == [".gitattributes", *names]


def test_cards_are_checked_and_found(api: HfApi, hub: LoopbackHub, repo: str):
    ModelCard("---\nlicense: apache-2.0\ntags: [dna]\n---\n# Hello\n").push_to_hub(repo)
    metadata_update(repo, {"pipeline_tag": "fill-mask"})
    assert [model.id for model in api.list_models(filter=["dna", "fill-mask"])] == [repo]
    assert [model.id for model in api.list_models(filter="rna")] == []
    for bad in ("license: 3", "tags: dna", "license: [", "model-index: [{results: [{}]}]"):
        with pytest.raises((ValueError, BadRequestError), match=r"README|metadata|string|array|model-index"):
            api.upload_file(path_or_fileobj=f"---\n{bad}\n---\n".encode(), path_in_repo="README.md", repo_id=repo)
    assert b"fill-mask" in hub.files(repo)["README.md"]


def test_a_stock_model_round_trips(api: HfApi, hub: LoopbackHub):
    model = tiny_bert()
    model.push_to_hub("loopback/bert")
    api.create_tag("loopback/bert", tag="v1")
    again = AutoModelForMaskedLM.from_pretrained("loopback/bert", revision="v1")
    for name, tensor in model.state_dict().items():
        assert tensor.equal(again.state_dict()[name]), name
    assert AutoModel.from_pretrained("loopback/bert").config.hidden_size == 8


def test_a_data_set_with_several_configurations_round_trips(hub: LoopbackHub):
    labels = ClassLabel(names=["host", "phage"])
    features = Features({"sequence": Value("large_string"), "label": labels})
    for config, rows in (("long", 30), ("short", 20)):
        data = Dataset.from_dict({"sequence": ["ACGT"] * rows, "label": [0, 1] * (rows // 2)}, features=features)
        data.push_to_hub("loopback/data", config_name=config, split="train")
    loaded = load_dataset("loopback/data", "long", split="train")
    assert len(loaded) == 30 and loaded.features["label"].names == ["host", "phage"]
    stream = load_dataset("loopback/data", "short", split="train", streaming=True)
    assert next(iter(stream)) == {"sequence": "ACGT", "label": 0}
    assert sum(1 for _ in stream) == 20
    assert all(not path.endswith(".py") for path in hub.files("loopback/data", "dataset"))


def test_faults_happen_as_told(api: HfApi, hub: LoopbackHub, repo: str):
    with hub.fault("PUT", "/lfs/", status=403), pytest.raises(RuntimeError, match="Error while uploading"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="a.bin", repo_id=repo)
    with hub.fault("PUT", "/lfs/", cut=True, times=1) as fault:  # the client's own second try gets through
        api.upload_file(path_or_fileobj=b"x" * 5000, path_in_repo="a.bin", repo_id=repo)
    assert fault.happened == 1 and hub.files(repo)["a.bin"] == b"x" * 5000
    with hub.fault("GET", "a.bin", corrupt=True):
        assert Path(hf_hub_download(repo, "a.bin")).read_bytes() == b"x" * 4999 + b"y"


def test_an_unknown_route_fails_loudly(hub: LoopbackHub):
    answer = get_session().get(f"{hub.url}/api/something-new")
    assert answer.status_code == 501 and "no route" in answer.json()["error"]
    assert hub.unknown == ["GET /api/something-new"]
    hub.unknown.clear()
