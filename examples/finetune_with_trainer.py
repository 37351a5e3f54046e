"""Fine-tune a k-mer BERT on labelled sequences with the stock Trainer. Nothing of seqformers needs to be installed.

python finetune_with_trainer.py USER/MODEL USER/DATA OUTPUT
"""

import sys

import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

model_id, data_id, output = sys.argv[1:]
data = load_dataset(data_id)
names = data["train"].features["label"].names
tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(
    model_id, trust_remote_code=True, num_labels=len(names), id2label=dict(enumerate(names))
)
data = data.map(lambda rows: tokenizer(rows["sequence"], truncation=True), batched=True, remove_columns=["sequence"])
trainer = Trainer(
    model,
    TrainingArguments(output, num_train_epochs=4, learning_rate=2e-3, report_to="none", disable_tqdm=True),
    data_collator=DataCollatorWithPadding(tokenizer),
    train_dataset=data["train"],
    eval_dataset=data["test"],
    compute_metrics=lambda p: {"accuracy": float(np.mean(p.predictions.argmax(-1) == p.label_ids))},
)
trainer.train()
print(trainer.evaluate()["eval_accuracy"])
trainer.save_model(output)
