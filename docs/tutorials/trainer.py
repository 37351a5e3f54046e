# %% [markdown]
# # Fine-tune with the stock Trainer, and with LoRA
#
# Every model here computes its own loss from its batch, so transformers' `Trainer` needs nothing of this package but the classes.

# %%
import numpy as np
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer

set_seed(0)
rng = np.random.default_rng(0)
motif = "TGACGTCA"


def read(label):
    letters = "".join(rng.choice(list("ACGT"), 60))
    return letters[:30] + motif + letters[38:] if label else letters


labels = [int(label) for label in rng.integers(0, 2, 800)]
rows = Dataset.from_dict({"sequence": [read(label) for label in labels], "label": labels}).train_test_split(
    200, seed=0
)
rows

# %%
tokenizer = KmerTokenizer(k=4, stride=1)
rows = rows.map(lambda batch: tokenizer(batch["sequence"], truncation=True), batched=True, remove_columns="sequence")
config = KmerBertConfig(
    k=4, vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
)
model = KmerBertForSequenceClassification(config)


def train(model, rate, epochs):
    arguments = TrainingArguments(
        "trained", num_train_epochs=epochs, learning_rate=rate, per_device_train_batch_size=32, report_to="none",
        disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, data_collator=DataCollatorWithPadding(tokenizer), train_dataset=rows["train"], eval_dataset=rows["test"],
        compute_metrics=lambda p: {"accuracy": float(np.mean(p.predictions.argmax(-1) == p.label_ids))},
    )  # fmt: skip
    trainer.train()
    return trainer.evaluate()["eval_accuracy"]


accuracy = train(model, 2e-3, 6)
assert accuracy > 0.9
accuracy

# %% [markdown]
# ## LoRA
#
# The attention's projections are called `query`, `key` and `value`, as in BERT. Only the adapters and the head are trained:

# %%
from peft import LoraConfig, TaskType, get_peft_model

adapted = get_peft_model(
    model, LoraConfig(task_type=TaskType.SEQ_CLS, r=4, lora_alpha=8, target_modules=["query", "value"])
)
adapted.print_trainable_parameters()
assert train(adapted, 1e-3, 1) > 0.9
