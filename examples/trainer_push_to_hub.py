"""Fine-tune and let the Trainer push to the Hub as it goes; then take the pickle of its arguments off the Hub again.

python trainer_push_to_hub.py USER/MODEL USER/DATA USER/NEW-MODEL
"""

import sys
import tempfile

from datasets import load_dataset
from huggingface_hub import HfApi
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

model_id, data_id, repo = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(model_id, trust_remote_code=True, num_labels=2)
data = load_dataset(data_id, split="train")
data = data.map(lambda rows: tokenizer(rows["sequence"], truncation=True), batched=True, remove_columns=["sequence"])
with tempfile.TemporaryDirectory() as output:
    arguments = TrainingArguments(
        output, push_to_hub=True, hub_model_id=repo, max_steps=10, report_to="none", disable_tqdm=True
    )
    collator = DataCollatorWithPadding(tokenizer)
    trainer = Trainer(model, arguments, collator, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    trainer.push_to_hub(dataset=data_id, tags=["dna"])
HfApi().delete_file("training_args.bin", repo, commit_message="Leave no pickle behind")
print(AutoModelForSequenceClassification.from_pretrained(repo, trust_remote_code=True).config.architectures)
