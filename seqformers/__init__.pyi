# Written by `python -m tests.stub` from the table of families and the names in `__init__.py`.
from seqformers.datasets import build_dataset, load_dataset
from seqformers.guides.score import guide_table, score_guides
from seqformers.inference.embed import embed
from seqformers.inference.predict import predict
from seqformers.merging import merge
from seqformers.modeling.dna.configuration_coding_profile import CodingProfileConfig
from seqformers.modeling.dna.configuration_kmer2vec import Kmer2VecConfig
from seqformers.modeling.dna.configuration_kmer_bert import KmerBertConfig
from seqformers.modeling.dna.configuration_self_genomenet import SelfGenomeNetConfig
from seqformers.modeling.dna.configuration_seq_cnn import SeqCnnConfig
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileForSequenceClassification, CodingProfileModel
from seqformers.modeling.dna.modeling_kmer2vec import (
    Kmer2VecForPreTraining,
    Kmer2VecForSequenceClassification,
    Kmer2VecModel,
)
from seqformers.modeling.dna.modeling_kmer_bert import (
    KmerBertForMaskedLM,
    KmerBertForPreTraining,
    KmerBertForSequenceClassification,
    KmerBertForTokenClassification,
    KmerBertModel,
)
from seqformers.modeling.dna.modeling_self_genomenet import (
    SelfGenomeNetForPreTraining,
    SelfGenomeNetForSequenceClassification,
    SelfGenomeNetModel,
)
from seqformers.modeling.dna.modeling_seq_cnn import SeqCnnForSequenceClassification, SeqCnnModel
from seqformers.modeling.guides.configuration_deepcpf1 import DeepCpf1Config
from seqformers.modeling.guides.modeling_deepcpf1 import DeepCpf1Model
from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor
from seqformers.modeling.protein.configuration_awd_lstm import AwdLstmConfig
from seqformers.modeling.protein.configuration_onehot import OneHotConfig
from seqformers.modeling.protein.configuration_p_elmo import PElmoConfig
from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
from seqformers.modeling.protein.configuration_protein_bert import ProteinBertConfig
from seqformers.modeling.protein.configuration_protein_cnn import ProteinCnnConfig
from seqformers.modeling.protein.configuration_tape_lstm import TapeLstmConfig
from seqformers.modeling.protein.configuration_tape_resnet import TapeResnetConfig
from seqformers.modeling.protein.configuration_unirep import UniRepConfig
from seqformers.modeling.protein.modeling_awd_lstm import (
    AwdLstmForCausalLM,
    AwdLstmForSequenceClassification,
    AwdLstmForTokenClassification,
    AwdLstmModel,
)
from seqformers.modeling.protein.modeling_onehot import (
    OneHotForContactPrediction,
    OneHotForSequenceClassification,
    OneHotForTokenClassification,
    OneHotModel,
)
from seqformers.modeling.protein.modeling_p_elmo import (
    PElmoForPairClassification,
    PElmoForPreTraining,
    PElmoForSequenceClassification,
    PElmoForTokenClassification,
    PElmoModel,
)
from seqformers.modeling.protein.modeling_plus_rnn import (
    PlusRnnForPairClassification,
    PlusRnnForPreTraining,
    PlusRnnForSequenceClassification,
    PlusRnnForTokenClassification,
    PlusRnnModel,
)
from seqformers.modeling.protein.modeling_protein_bert import (
    ProteinBertForContactPrediction,
    ProteinBertForMaskedLM,
    ProteinBertForPairClassification,
    ProteinBertForPreTraining,
    ProteinBertForSequenceClassification,
    ProteinBertForTokenClassification,
    ProteinBertModel,
)
from seqformers.modeling.protein.modeling_protein_cnn import (
    ProteinCnnForAnnotation,
    ProteinCnnForMaskedLM,
    ProteinCnnForSequenceClassification,
    ProteinCnnForTokenClassification,
    ProteinCnnModel,
)
from seqformers.modeling.protein.modeling_tape_lstm import (
    TapeLstmForContactPrediction,
    TapeLstmForPreTraining,
    TapeLstmForSequenceClassification,
    TapeLstmForTokenClassification,
    TapeLstmModel,
)
from seqformers.modeling.protein.modeling_tape_resnet import (
    TapeResnetForContactPrediction,
    TapeResnetForMaskedLM,
    TapeResnetForSequenceClassification,
    TapeResnetForTokenClassification,
    TapeResnetModel,
)
from seqformers.modeling.protein.modeling_unirep import (
    UniRepForCausalLM,
    UniRepForContactPrediction,
    UniRepForSequenceClassification,
    UniRepForTokenClassification,
    UniRepModel,
)
from seqformers.modeling.targets.configuration_pair_cnn import PairCnnConfig
from seqformers.modeling.targets.configuration_targetnet import TargetNetConfig
from seqformers.modeling.targets.modeling_pair_cnn import PairCnnModel
from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor
from seqformers.phages.find import find_phages
from seqformers.proteins.annotate import annotate_proteins, annotation_table
from seqformers.targets.scan import scan_targets
from seqformers.tokenization.tokenization_kmer import KmerTokenizer
from seqformers.tokenization.tokenization_protein import ProteinTokenizer
from seqformers.tokenization.tokenization_residue_words import ResidueWordTokenizer
from seqformers.tokenization.tokenization_variable_kmer import VariableKmerTokenizer
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from seqformers.training.collators_protein import DataCollatorForResidueLanguageModeling

__version__: str
__all__ = [
    "AwdLstmConfig",
    "AwdLstmForCausalLM",
    "AwdLstmForSequenceClassification",
    "AwdLstmForTokenClassification",
    "AwdLstmModel",
    "CodingProfileConfig",
    "CodingProfileForSequenceClassification",
    "CodingProfileModel",
    "DataCollatorForKmerLanguageModeling",
    "DataCollatorForResidueLanguageModeling",
    "DeepCpf1Config",
    "DeepCpf1Model",
    "DeepCpf1Processor",
    "Kmer2VecConfig",
    "Kmer2VecForPreTraining",
    "Kmer2VecForSequenceClassification",
    "Kmer2VecModel",
    "KmerBertConfig",
    "KmerBertForMaskedLM",
    "KmerBertForPreTraining",
    "KmerBertForSequenceClassification",
    "KmerBertForTokenClassification",
    "KmerBertModel",
    "KmerTokenizer",
    "OneHotConfig",
    "OneHotForContactPrediction",
    "OneHotForSequenceClassification",
    "OneHotForTokenClassification",
    "OneHotModel",
    "PElmoConfig",
    "PElmoForPairClassification",
    "PElmoForPreTraining",
    "PElmoForSequenceClassification",
    "PElmoForTokenClassification",
    "PElmoModel",
    "PairCnnConfig",
    "PairCnnModel",
    "PairCnnProcessor",
    "PlusRnnConfig",
    "PlusRnnForPairClassification",
    "PlusRnnForPreTraining",
    "PlusRnnForSequenceClassification",
    "PlusRnnForTokenClassification",
    "PlusRnnModel",
    "ProteinBertConfig",
    "ProteinBertForContactPrediction",
    "ProteinBertForMaskedLM",
    "ProteinBertForPairClassification",
    "ProteinBertForPreTraining",
    "ProteinBertForSequenceClassification",
    "ProteinBertForTokenClassification",
    "ProteinBertModel",
    "ProteinCnnConfig",
    "ProteinCnnForAnnotation",
    "ProteinCnnForMaskedLM",
    "ProteinCnnForSequenceClassification",
    "ProteinCnnForTokenClassification",
    "ProteinCnnModel",
    "ProteinTokenizer",
    "ResidueWordTokenizer",
    "SelfGenomeNetConfig",
    "SelfGenomeNetForPreTraining",
    "SelfGenomeNetForSequenceClassification",
    "SelfGenomeNetModel",
    "SeqCnnConfig",
    "SeqCnnForSequenceClassification",
    "SeqCnnModel",
    "TapeLstmConfig",
    "TapeLstmForContactPrediction",
    "TapeLstmForPreTraining",
    "TapeLstmForSequenceClassification",
    "TapeLstmForTokenClassification",
    "TapeLstmModel",
    "TapeResnetConfig",
    "TapeResnetForContactPrediction",
    "TapeResnetForMaskedLM",
    "TapeResnetForSequenceClassification",
    "TapeResnetForTokenClassification",
    "TapeResnetModel",
    "TargetNetConfig",
    "TargetNetModel",
    "TargetNetProcessor",
    "UniRepConfig",
    "UniRepForCausalLM",
    "UniRepForContactPrediction",
    "UniRepForSequenceClassification",
    "UniRepForTokenClassification",
    "UniRepModel",
    "VariableKmerTokenizer",
    "__version__",
    "annotate_proteins",
    "annotation_table",
    "build_dataset",
    "embed",
    "find_phages",
    "guide_table",
    "load_dataset",
    "merge",
    "predict",
    "scan_targets",
    "score_guides",
]
