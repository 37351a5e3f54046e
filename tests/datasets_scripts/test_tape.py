"""TAPE: the published archive layouts at tiny size, plain tables, contact labels, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pytest

from seqformers.datasets import load_dataset
from seqformers.datasets_scripts.common import sources
from seqformers.datasets_scripts.common.records import read_records
from seqformers.datasets_scripts.tape import tape
from seqformers.datasets_scripts.tape.tape import TapeBuilder, contact_labels
from tests.conftest import golden_cases
from tests.datasets_scripts.upstream import build, pack, write_json, write_lmdb

RECORDS = {
    "secondary_structure": [
        {
            "primary": "MKVLA",
            "ss3": np.array([2, 0, 0, 1, 2]),
            "ss8": np.array([7, 1, 1, 4, 6]),
            "valid_mask": np.array([True, True, True, True, False]),
            "id": b"1abc-A",
            "protein_length": 5,
        },
        {"primary": "GG", "ss3": np.array([2, 2]), "ss8": np.array([5, 7]), "valid_mask": np.array([True, True])},
    ],
    "proteinnet": [
        {
            "primary": "ACDEFGHI",
            "tertiary": np.arange(24, dtype=np.float32).reshape(8, 3),
            "valid_mask": np.array([True] * 7 + [False]),
            "id": "7#1",
        }
    ],
    "remote_homology": [{"primary": "ACDW", "fold_label": 7, "class_label": 0, "family_label": 3, "id": "d1"}],
    "fluorescence": [{"primary": "SKGE", "log_fluorescence": np.array([3.5], np.float32), "num_mutations": 2}],
    "stability": [{"primary": "DQSV", "stability_score": [0.25], "topology": "EEHEE", "id": "x"}],
    "pfam": [{"primary": "MKW", "family": 12, "clan": 3, "id": "0"}],
}
TASK_OF = {"proteinnet": "contact_prediction", "pfam": "language_modeling"}
FIRST_ROWS = {
    "secondary_structure": {"id": "1abc-A", "sequence": "MKVLA", "labels": [2, 0, 0, 1, -100]},
    "proteinnet": {"id": "7#1", "valid_mask": [True] * 7 + [False]},
    "remote_homology": {"sequence": "ACDW", "label": 7},
    "fluorescence": {"label": 3.5, "num_mutations": 2},
    "stability": {"label": 0.25, "id": "x"},
    "pfam": {"sequence": "MKW", "family": "12", "clan": "3"},
}


@pytest.mark.parametrize("form", ["lmdb", "json", "archive"])
@pytest.mark.parametrize("archive", list(RECORDS))
def test_published_layouts(tmp_path, archive, form):
    folder = tmp_path / "data" / archive
    write = write_json if form == "json" else write_lmdb
    records = RECORDS[archive]
    if form == "json":  # JSON has no bytes
        records = [{k: v.decode() if isinstance(v, bytes) else v for k, v in record.items()} for record in records]
    for split in ("train", "valid"):
        write(folder / f"{archive}_{split}.{'json' if form == 'json' else 'lmdb'}", records)
    data_dir = tmp_path / "data"
    if form == "archive":
        (tmp_path / "packed").mkdir()
        pack(folder, tmp_path / "packed" / f"{archive}.tar.gz")
        data_dir = tmp_path / "packed"
    data = build(TapeBuilder, tmp_path, TASK_OF.get(archive, archive), data_dir)
    assert list(data) == ["train", "validation"]
    row = data["train"][0]
    assert {key: row[key] for key in FIRST_ROWS[archive]} == FIRST_ROWS[archive]
    assert len(data["validation"]) == len(RECORDS[archive])


def test_eight_states(tmp_path):
    write_json(tmp_path / "secondary_structure_train.json", RECORDS["secondary_structure"][1:])
    data = build(TapeBuilder, tmp_path, "secondary_structure", tmp_path, states=8)
    assert data["train"].features["labels"].feature.int2str(data["train"][0]["labels"]) == ["S", "C"]


def test_all_holdouts_keep_their_names(tmp_path):
    for split in ("train", "test_fold_holdout", "test_family_holdout", "test_superfamily_holdout"):
        write_json(tmp_path / f"remote_homology_{split}.json", RECORDS["remote_homology"])
    data = build(TapeBuilder, tmp_path, "remote_homology", tmp_path)
    assert set(data) == {"train", "test_fold_holdout", "test_superfamily_holdout", "test_family_holdout"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_plain_tables(tmp_path, suffix):
    table = pd.DataFrame({"sequence": ["acd", "WY"], "stability_score": [0.5, -1]})
    path = tmp_path / f"train{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    data = build(TapeBuilder, tmp_path, "stability", tmp_path)
    assert data["train"]["sequence"][:] == ["ACD", "WY"]
    assert data["train"]["label"][:] == [0.5, -1]


@pytest.mark.parametrize("drop", [False, True])
def test_streaming_gives_the_same_rows(tmp_path, drop):
    """Train is two files, what is held out three, so that arguments taken for shards would not fit together."""
    sequences = {
        "train_0": "ACD",
        "train_1": "WYV",
        "test_fold_holdout": "WYV",
        "test_family_holdout": "KK",
        "valid": "GG",
    }
    for split, sequence in sequences.items():
        pd.DataFrame({"sequence": [sequence], "fold_label": [3]}).to_parquet(tmp_path / f"{split}.parquet")
    options = {"data_dir": tmp_path, "cache_dir": tmp_path / "cache", "drop_test_duplicates": drop}
    streamed = load_dataset("tape", "remote_homology", streaming=True, **options)
    found = {split: list(rows) for split, rows in streamed.items()}
    assert found == {split: list(rows) for split, rows in load_dataset("tape", "remote_homology", **options).items()}
    assert [row["sequence"] for row in found["train"]] == (["ACD"] if drop else ["ACD", "WYV"])


def write_netsurfp(path, proteins, *, mark="", **columns):
    """NetSurfP-2.0's sets as ProtTrans stores them: blanks between residues and after the commas of the header."""
    names = ("input", "dssp3", "dssp8", "disorder", "cb513_mask")
    lines = [mark + ", ".join(names)]
    for number, (sequence, ss3, ss8) in enumerate(proteins):
        masks = [columns.get(name, {}).get(number, ["1.0"] * len(sequence)) for name in names[3:]]
        lines.append(",".join(" ".join(cells) for cells in (sequence, ss3, ss8, *masks)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_netsurfp_sets_stand_beside_other_files(tmp_path):
    """Three test sets in one data set, with 3 and 8 states; unresolved and untested residues are not labelled."""
    folder = tmp_path / "secondary_structure"
    folder.mkdir()
    rows = {"sequence": ["MKVLA"], "ss3": ["CCHHE"], "ss8": ["SSHHB"]}
    pd.DataFrame(rows).to_parquet(folder / "train_netsurfp2.parquet")
    masked = {"disorder": {1: list("0111")}, "cb513_mask": {1: ["1.0", "1.0", "1.0", "0.0"]}}
    write_netsurfp(folder / "CB513_HHblits.csv", [("GGX", "CCH", "TSG"), ("MKWU", "CHEC", "CIBC")], **masked)
    write_netsurfp(folder / "TS115_HHblits.csv", [("WW", "EE", "EB")], mark="\ufeff")
    write_netsurfp(folder / "CASP12_HHblits.csv", [("AC", "HC", "GT"), ("D", "C", "S")])
    data = build(TapeBuilder, tmp_path, "secondary_structure", tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 1, "cb513": 2, "casp12": 2, "ts115": 1}
    assert data["cb513"]["sequence"][:] == ["GGX", "MKWU"]
    assert data["cb513"]["labels"][:] == [[2, 2, 0], [-100, 0, 1, -100]]
    eight = build(TapeBuilder, tmp_path / "8", "secondary_structure", tmp_path, states=8)
    assert eight["ts115"]["labels"][:] == [[4, 3]] and eight["cb513"]["labels"][1] == [-100, 2, 3, -100]
    write_netsurfp(folder / "TS115_HHblits.csv", [("WW", "EE", "EB")], disorder={0: ["1.0"]})
    with pytest.raises(ValueError, match="record 0: disorder has 1 numbers, cb513_mask 2"):
        build(TapeBuilder, tmp_path / "again", "secondary_structure", tmp_path)


def test_masks_that_lost_their_zeros(tmp_path):
    rows = {"sequence": ["MKVLA"], "ss3": ["CCHHE"], "resolved_mask": ["110"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "test_cb513.parquet")
    data = build(TapeBuilder, tmp_path, "secondary_structure", tmp_path)
    assert data["cb513"][0]["labels"] == [-100, -100, 0, 0, -100]
    # where the states disagree the mask is refused
    pd.DataFrame(rows | {"ss3": ["CHHHE"]}).to_parquet(tmp_path / "test_cb513.parquet")
    with pytest.raises(ValueError, match=r"test_cb513.parquet, record 0: a mask of 3 for 5 residues"):
        build(TapeBuilder, tmp_path / "again", "secondary_structure", tmp_path)


def test_training_rows_of_the_test_set_can_be_dropped(tmp_path):
    write_json(tmp_path / "stability_train.json", [{"primary": s, "stability_score": [0]} for s in ("ACD", "WYV")])
    write_json(tmp_path / "stability_test.json", [{"primary": "wyv", "stability_score": [0]}])
    kept = build(TapeBuilder, tmp_path, "stability", tmp_path)
    assert len(kept["train"]) == 2
    clean = build(TapeBuilder, tmp_path, "stability", tmp_path, drop_test_duplicates=True)
    assert clean["train"]["sequence"][:] == ["ACD"]


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        (
            "stability",
            {"primary": "", "stability_score": [1]},
            "stability_train.json, record 0: the sequence is empty",
        ),
        ("stability", {"primary": "AC-D", "stability_score": [1]}, "'-' at position 3 is no residue"),
        ("stability", {"primary": "AC*D", "stability_score": [1]}, r"'\*' at position 3 is no residue"),
        ("stability", {"primary": "ACD"}, "no column stability_score or label; found primary"),
        ("stability", {"primary": "ACD", "stability_score": [float("nan")]}, "stability_score is nan"),
        ("secondary_structure", {"primary": "ACD", "ss3": [0, 1]}, "2 labels for 3 residues"),
        ("secondary_structure", {"primary": "ACD", "ss3": [0, 1, 3]}, "label 3 at position 3; there are 3 classes"),
        ("secondary_structure", {"primary": "ACD", "ss3": "HEX"}, "unknown label 'X' at position 3; known: HEC"),
        ("remote_homology", {"primary": "ACD", "fold_label": 1195}, "fold_label 1195 is not in 0..1194"),
        ("contact_prediction", {"primary": "ACD", "tertiary": [[0, 0, 0]]}, r"shape \(1, 3\) for 3 residues"),
        (
            "contact_prediction",
            {"primary": "A", "tertiary": [[0, 0, 0]], "valid_mask": [1, 1]},
            "valid_mask of 2 for 1",
        ),
    ],
)
def test_bad_records_are_named(tmp_path, task, record, message):
    archive = {"contact_prediction": "proteinnet"}.get(task, task)
    write_json(tmp_path / f"{archive}_train.json", [record])
    with pytest.raises(ValueError, match=message):
        build(TapeBuilder, tmp_path, task, tmp_path)


def test_unusual_letters_pass(tmp_path):
    write_json(tmp_path / "stability_train.json", [{"primary": "jobzuxACD*", "stability_score": [1]}])
    data = build(TapeBuilder, tmp_path, "stability", tmp_path)
    assert data["train"]["sequence"][0] == "JOBZUXACD"


def test_missing_coordinates_are_masked(tmp_path):
    record = {"primary": "ACD", "tertiary": [[0, 0, 0], [float("nan"), 0, 0], [1, 1, 1]]}
    write_json(tmp_path / "proteinnet_train.json", [record])
    data = build(TapeBuilder, tmp_path, "contact_prediction", tmp_path)
    assert data["train"][0]["valid_mask"] == [True, False, True]
    assert np.isfinite(data["train"][0]["tertiary"]).all()


def test_contact_labels_are_the_originals():
    (case,) = [case for case in golden_cases("protein_metrics") if case["kind"] == "contact_labels"]
    found = contact_labels(case["tertiary"], case["valid_mask"], ignore_index=-1)
    assert found.tolist() == case["labels"]


def test_contacts_without_coordinates_are_ignored():
    points = np.zeros((8, 3))
    points[7] = np.nan
    labels = contact_labels(points)
    assert labels[0, 6] == 1 and labels[0, 7] == -100
    with pytest.raises(ValueError, match=r"expected \(L, 3\)"):
        contact_labels(np.zeros((4, 2)))


class FakeDownloads:
    """A download manager whose web is a dict of files."""

    def __init__(self, web):
        self.web, self.asked = web, []

    def download(self, url):
        self.asked.append(url)
        if url not in self.web:
            raise FileNotFoundError(url)
        return str(self.web[url])


def test_mirrors_and_checksums(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"data")
    bad.write_bytes(b"truncated")
    md5 = hashlib.md5(b"data").hexdigest()
    web = FakeDownloads({"mirror/two": bad, "mirror/three": good})
    source = sources.Source(urls=("mirror/one", "mirror/two", "mirror/three"), md5=md5)
    assert sources.fetch(web, source) == good
    assert web.asked == ["mirror/one", "mirror/two", "mirror/three"]
    with pytest.raises(OSError, match=r"mirror/one .*mirror/two .*md5 .*damaged.*data_dir=FOLDER"):
        sources.fetch(web, sources.Source(urls=("mirror/one", "mirror/two"), md5=md5))


def test_web_addresses_are_fetched_and_checked(tmp_path, monkeypatch):
    import datasets

    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "x.tar.gz").write_bytes(b"data")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.tar.gz"
        good = sources.Source(urls=(f"{url}.absent", url), md5=hashlib.md5(b"data").hexdigest())
        assert sources.fetch(None, good).read_bytes() == b"data"
        with pytest.raises(OSError, match="ValueError"):
            sources.fetch(None, sources.Source(urls=(url,), md5=hashlib.md5(b"other").hexdigest()))
        server.shutdown()


def test_a_build_reports_what_its_splits_share(tmp_path):
    from seqformers.datasets import build_dataset

    rows = [{"primary": "MKVLAACDEFGHIK" + "W" * i, "stability_score": [0]} for i in range(4)]
    write_json(tmp_path / "in" / "stability_train.json", rows)
    write_json(
        tmp_path / "in" / "stability_test.json", [rows[0], {"primary": "PQRSTVWYPQRSTV", "stability_score": [1]}]
    )
    folder = build_dataset("tape", "stability", data_dir=tmp_path / "in", output=tmp_path / "out")
    report = json.loads((folder / "report.json").read_text())
    assert report["read_leakage"]["splits"]["test"]["identical"] == 0.5
    assert "50.0 % are identical" in (folder / "README.md").read_text()


def test_a_mirror_of_ones_own_serves_the_archive(tmp_path, monkeypatch):
    write_lmdb(tmp_path / "stability" / "stability_train.lmdb", RECORDS["stability"])
    (tmp_path / "mirror").mkdir()
    archive = tmp_path / "mirror" / "stability.tar.gz"
    pack(tmp_path / "stability", archive)
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    task = tape._Task("stability", tape._TASKS["stability"].splits, md5=md5)
    monkeypatch.setitem(tape._TASKS, "stability", task)
    data = build(TapeBuilder, tmp_path, "stability", None, mirror=str(tmp_path / "mirror"))
    assert data["train"]["label"][:] == [0.25]


def test_published_checksums_are_md5_sums():
    for task in tape._TASKS.values():
        assert task.md5 is None or len(bytes.fromhex(task.md5)) == 16


def test_empty_folder_says_what_it_wants(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=r"no file of TAPE's stability; expected stability.tar.gz"):
        build(TapeBuilder, tmp_path, "stability", tmp_path / "data")


class Exploit:
    def __reduce__(self):
        return (eval, ("1+1",))


def test_a_tampered_archive_cannot_run_code(tmp_path):
    write_lmdb(tmp_path / "x.lmdb", [{"primary": Exploit()}])
    with pytest.raises(ValueError, match=r"record 0 cannot be read: the pickle asks for builtins\.eval"):
        list(read_records(tmp_path / "x.lmdb"))


def test_damaged_files_are_named(tmp_path):
    import lmdb

    with lmdb.open(str(tmp_path / "a.lmdb"), map_size=2**20) as environment, environment.begin(write=True) as put:
        put.put(b"num_examples", pickle.dumps(2))
        put.put(b"0", pickle.dumps({"primary": "A"}))
    with pytest.raises(ValueError, match="record 1 is missing"):
        list(read_records(tmp_path / "a.lmdb"))
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "c.jsonl").write_text('{"a": 1}\nx\n')
    (tmp_path / "d.parquet").write_text("no")
    for name, message in (
        ("a.json", "is not JSON"),
        ("b.json", "expected a list"),
        ("c.jsonl", "line 2 is not JSON"),
        ("d.parquet", "not a Parquet file"),
        ("e.xml", "no such file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            list(read_records(tmp_path / name))


def test_real_tables(real_data, tmp_path):
    rows = {"secondary_structure": 513, "remote_homology": 718, "fluorescence": 27217, "stability": 12851}
    for task, count in rows.items():
        data = build(TapeBuilder, tmp_path / task, task, real_data)
        assert len(data[list(data)[-1]]) == count
        if task == "secondary_structure":
            labels = np.concatenate(data["cb513"]["labels"][:])
            assert (labels == -100).sum() == 3529
