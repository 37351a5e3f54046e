"""The model families: one row each, read by registration, the public names, `auto_map` writing and conversion.

Adding a family means adding its files to a folder under `modeling/` and one row here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = ["FAMILIES", "Family", "class_named", "family_of", "tokenizer_modules"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where the classes of one family live and which Auto class loads each of them.

    Args:
        model_type (`str`): The `model_type` of its configuration; also the end of its files' names and the card
            template `model_cards/<model_type>.md`.
        room (`str`): The folder under `modeling/` that holds its files and what they share with their neighbours.
        config (`str`): Name of the configuration class.
        models (`dict[str, str]`): Auto class name -> class name, base model and every head.
        tokenizer (`str`, *optional*): `module:Class` of the tokenizer that goes with it.
        other_tokenizers (`tuple[str, ...]`): Further ones that it can be trained with.
        processor (`str`, *optional*): Name of the processor class in `processing_<model_type>.py`.
    """

    model_type: str
    room: str
    config: str
    models: dict[str, str] = field(default_factory=dict)
    tokenizer: str | None = None
    other_tokenizers: tuple[str, ...] = ()
    processor: str | None = None

    @property
    def package(self) -> str:
        """Import path of the family's folder."""
        return f"seqformers.modeling.{self.room}"

    @property
    def config_module(self) -> str:
        """Import path of `configuration_<family>.py`."""
        return f"{self.package}.configuration_{self.model_type}"

    @property
    def modeling_module(self) -> str:
        """Import path of `modeling_<family>.py`."""
        return f"{self.package}.modeling_{self.model_type}"

    @property
    def processing_module(self) -> str:
        """Import path of `processing_<family>.py`."""
        return f"{self.package}.processing_{self.model_type}"

    def auto_map(self) -> dict[str, str]:
        """Auto class -> `module.Class` in a repository, where the files lie flat: configuration and every model."""
        names = {"AutoConfig": f"{self.config_module.rpartition('.')[2]}.{self.config}"}
        module = self.modeling_module.rpartition(".")[2]
        return names | {auto_class: f"{module}.{name}" for auto_class, name in self.models.items()}

    def tokenizers(self) -> dict[str, str]:
        """Class name of each tokenizer that goes with it -> module that defines it."""
        found = [reference.partition(":") for reference in (self.tokenizer, *self.other_tokenizers) if reference]
        return {name: module for module, _, name in found}

    def exports(self) -> dict[str, str]:
        """Public class name -> module that defines it."""
        names = {self.config: self.config_module}
        names.update(dict.fromkeys(self.models.values(), self.modeling_module))
        if self.processor:
            names[self.processor] = self.processing_module
        return names


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="kmer_bert",
        room="dna",
        config="KmerBertConfig",
        models={
            "AutoModel": "KmerBertModel",
            "AutoModelForMaskedLM": "KmerBertForMaskedLM",
            "AutoModelForPreTraining": "KmerBertForPreTraining",
            "AutoModelForSequenceClassification": "KmerBertForSequenceClassification",
            "AutoModelForTokenClassification": "KmerBertForTokenClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_kmer:KmerTokenizer",
        other_tokenizers=("seqformers.tokenization.tokenization_variable_kmer:VariableKmerTokenizer",),
    ),
    Family(
        model_type="seq_cnn",
        room="dna",
        config="SeqCnnConfig",
        models={
            "AutoModel": "SeqCnnModel",
            "AutoModelForSequenceClassification": "SeqCnnForSequenceClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_kmer:KmerTokenizer",
    ),
    Family(
        model_type="kmer2vec",
        room="dna",
        config="Kmer2VecConfig",
        models={
            "AutoModel": "Kmer2VecModel",
            "AutoModelForPreTraining": "Kmer2VecForPreTraining",
            "AutoModelForSequenceClassification": "Kmer2VecForSequenceClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_kmer:KmerTokenizer",
        other_tokenizers=(
            "seqformers.tokenization.tokenization_variable_kmer:VariableKmerTokenizer",
            "seqformers.tokenization.tokenization_residue_words:ResidueWordTokenizer",
        ),
    ),
    Family(
        model_type="self_genomenet",
        room="dna",
        config="SelfGenomeNetConfig",
        models={
            "AutoModel": "SelfGenomeNetModel",
            "AutoModelForPreTraining": "SelfGenomeNetForPreTraining",
            "AutoModelForSequenceClassification": "SelfGenomeNetForSequenceClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_kmer:KmerTokenizer",
    ),
    Family(
        model_type="deepcpf1",
        room="guides",
        config="DeepCpf1Config",
        models={"AutoModel": "DeepCpf1Model"},
        processor="DeepCpf1Processor",
    ),
    Family(
        model_type="targetnet",
        room="targets",
        config="TargetNetConfig",
        models={"AutoModel": "TargetNetModel", "AutoModelForSequenceClassification": "TargetNetModel"},
        processor="TargetNetProcessor",
    ),
    Family(
        model_type="pair_cnn",
        room="targets",
        config="PairCnnConfig",
        models={"AutoModel": "PairCnnModel", "AutoModelForSequenceClassification": "PairCnnModel"},
        processor="PairCnnProcessor",
    ),
    Family(
        model_type="plus_rnn",
        room="protein",
        config="PlusRnnConfig",
        models={
            "AutoModel": "PlusRnnModel",
            "AutoModelForPreTraining": "PlusRnnForPreTraining",
            "AutoModelForSequenceClassification": "PlusRnnForSequenceClassification",
            "AutoModelForTokenClassification": "PlusRnnForTokenClassification",
            "AutoModelForPairClassification": "PlusRnnForPairClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="protein_bert",
        room="protein",
        config="ProteinBertConfig",
        models={
            "AutoModel": "ProteinBertModel",
            "AutoModelForPreTraining": "ProteinBertForPreTraining",
            "AutoModelForMaskedLM": "ProteinBertForMaskedLM",
            "AutoModelForSequenceClassification": "ProteinBertForSequenceClassification",
            "AutoModelForTokenClassification": "ProteinBertForTokenClassification",
            "AutoModelForPairClassification": "ProteinBertForPairClassification",
            "AutoModelForContactPrediction": "ProteinBertForContactPrediction",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="p_elmo",
        room="protein",
        config="PElmoConfig",
        models={
            "AutoModel": "PElmoModel",
            "AutoModelForPreTraining": "PElmoForPreTraining",
            "AutoModelForPairClassification": "PElmoForPairClassification",
            "AutoModelForSequenceClassification": "PElmoForSequenceClassification",
            "AutoModelForTokenClassification": "PElmoForTokenClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="tape_lstm",
        room="protein",
        config="TapeLstmConfig",
        models={
            "AutoModel": "TapeLstmModel",
            "AutoModelForPreTraining": "TapeLstmForPreTraining",
            "AutoModelForSequenceClassification": "TapeLstmForSequenceClassification",
            "AutoModelForTokenClassification": "TapeLstmForTokenClassification",
            "AutoModelForContactPrediction": "TapeLstmForContactPrediction",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="tape_resnet",
        room="protein",
        config="TapeResnetConfig",
        models={
            "AutoModel": "TapeResnetModel",
            "AutoModelForMaskedLM": "TapeResnetForMaskedLM",
            "AutoModelForSequenceClassification": "TapeResnetForSequenceClassification",
            "AutoModelForTokenClassification": "TapeResnetForTokenClassification",
            "AutoModelForContactPrediction": "TapeResnetForContactPrediction",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="unirep",
        room="protein",
        config="UniRepConfig",
        models={
            "AutoModel": "UniRepModel",
            "AutoModelForCausalLM": "UniRepForCausalLM",
            "AutoModelForSequenceClassification": "UniRepForSequenceClassification",
            "AutoModelForTokenClassification": "UniRepForTokenClassification",
            "AutoModelForContactPrediction": "UniRepForContactPrediction",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="awd_lstm",
        room="protein",
        config="AwdLstmConfig",
        models={
            "AutoModel": "AwdLstmModel",
            "AutoModelForCausalLM": "AwdLstmForCausalLM",
            "AutoModelForSequenceClassification": "AwdLstmForSequenceClassification",
            "AutoModelForTokenClassification": "AwdLstmForTokenClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="protein_cnn",
        room="protein",
        config="ProteinCnnConfig",
        models={
            "AutoModel": "ProteinCnnModel",
            "AutoModelForMaskedLM": "ProteinCnnForMaskedLM",
            "AutoModelForSequenceClassification": "ProteinCnnForSequenceClassification",
            "AutoModelForTokenClassification": "ProteinCnnForTokenClassification",
            "AutoModelForAnnotation": "ProteinCnnForAnnotation",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="onehot",
        room="protein",
        config="OneHotConfig",
        models={
            "AutoModel": "OneHotModel",
            "AutoModelForSequenceClassification": "OneHotForSequenceClassification",
            "AutoModelForTokenClassification": "OneHotForTokenClassification",
            "AutoModelForContactPrediction": "OneHotForContactPrediction",
        },
        tokenizer="seqformers.tokenization.tokenization_protein:ProteinTokenizer",
    ),
    Family(
        model_type="coding_profile",
        room="dna",
        config="CodingProfileConfig",
        models={
            "AutoModel": "CodingProfileModel",
            "AutoModelForSequenceClassification": "CodingProfileForSequenceClassification",
        },
        tokenizer="seqformers.tokenization.tokenization_kmer:KmerTokenizer",
    ),
)


def family_of(model_type: str) -> Family:
    """Return the row of `model_type`, or raise `ValueError` naming the known ones."""
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise ValueError(f"no family of model_type {model_type!r} here; known: {known}")


def class_named(name: str) -> Any:
    """A configuration, model, processor or tokenizer class by its public name; None where there is none.

    Examples:
        >>> class_named("KmerTokenizer").__name__, class_named("BertModel")
        ('KmerTokenizer', None)
    """
    for family in FAMILIES:
        module = family.exports().get(name) or family.tokenizers().get(name)
        if module:
            return getattr(import_module(module), name)
    return None


def tokenizer_modules() -> dict[str, str]:
    """Class name of every tokenizer here -> module that defines it."""
    return {name: module for family in FAMILIES for name, module in family.tokenizers().items()}
