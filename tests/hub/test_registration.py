"""Registration with the Auto classes: repeatable, loud about conflicts, and preferring the package to shipped code.

Each case runs in a process of its own, in which transformers is loaded already and seqformers is not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerTokenizer
from seqformers.hub.push import push_to_hub
from seqformers.hub.repository import write_model_repository
from tests.hub.forks import Forks
from tests.hub.loopback import LoopbackHub

FOREIGN_CONFIG = """
import transformers
class Foreign(transformers.PreTrainedConfig):
    model_type = "kmer_bert"
transformers.AutoConfig.register("kmer_bert", Foreign)
import seqformers
"""
# As if a coming version of transformers had a model of this name.
BUILT_IN = """
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
CONFIG_MAPPING._mapping["kmer_bert"] = "BertConfig"
CONFIG_MAPPING._modules["kmer_bert"] = __import__("transformers").models.bert
import seqformers
"""
AGAIN = """
import importlib, sys, transformers
import seqformers
from seqformers._registration import register_when_auto_classes_load
mapping = transformers.AutoModel._model_mapping
before = dict(mapping._extra_content)
for _ in range(3):
    register_when_auto_classes_load()
    importlib.reload(seqformers)
assert mapping._extra_content == before and len(before) >= 5
assert sum(type(finder).__name__ == "_ImportWatcher" for finder in sys.meta_path) == 1
for name in [name for name in sys.modules if name.startswith("seqformers")]:
    del sys.modules[name]
import seqformers  # our own classes a second time, as after a notebook's autoreload, are no conflict
assert type(transformers.AutoConfig.for_model("kmer_bert")) is seqformers.KmerBertConfig
"""
PREFER = """
import sys
from transformers import AutoModelForMaskedLM, AutoTokenizer
shipped = AutoModelForMaskedLM.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(shipped).__module__.startswith("transformers_modules"), type(shipped)
import seqformers
for trust in (None, True):
    ours = AutoModelForMaskedLM.from_pretrained(sys.argv[1], trust_remote_code=trust)
    assert type(ours) is seqformers.KmerBertForMaskedLM, type(ours)
# (Of tokenizers, transformers takes the shipped code where it is asked to trust it.)
assert type(AutoTokenizer.from_pretrained(sys.argv[1])) is seqformers.KmerTokenizer
"""


def run(forks: Forks, code: str, folder: Path, *arguments: str) -> str:
    (folder / "script.py").write_text(code)
    done = forks.run(folder / "script.py", *arguments, folder=folder, stranger=False)
    return "" if done.code == 0 else done.stderr


@pytest.mark.parametrize(("code", "owner"), [(FOREIGN_CONFIG, "__main__.Foreign"), (BUILT_IN, "BertConfig")])
def test_a_taken_model_type_is_refused_by_name(code: str, owner: str, forks: Forks, tmp_path: Path):
    message = run(forks, code, tmp_path).splitlines()[-1]
    assert message.startswith("ValueError: model_type 'kmer_bert' is already registered by") and owner in message


def test_registering_again_changes_nothing(forks: Forks, tmp_path: Path):
    assert not run(forks, AGAIN, tmp_path)


def test_the_package_wins_over_shipped_code(hub: LoopbackHub, forks: Forks, tmp_path: Path):
    config = KmerBertConfig(k=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    card = "---\nlicense: apache-2.0\n---\n"
    write_model_repository(tmp_path / "run", KmerBertForMaskedLM(config), tokenizer=KmerTokenizer(k=3), card=card)
    push_to_hub(tmp_path / "run", "loopback/both")
    assert not run(forks, PREFER, tmp_path, "loopback/both")
