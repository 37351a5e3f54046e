"""Read a data set from the Hub as a stream: batches of tokens at once, nothing written to disk.

python stream_dataset.py USER/MODEL USER/DATA
"""

import sys

from datasets import load_dataset
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, DataCollatorWithPadding

model_id, data_id = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
stream = load_dataset(data_id, split="train", streaming=True)
print("classes:", stream.features["label"].names)
stream = stream.shuffle(seed=0, buffer_size=1000).map(
    lambda rows: tokenizer(rows["sequence"], truncation=True), batched=True, remove_columns=["sequence"]
)
seen = 0
for batch in DataLoader(stream, batch_size=16, collate_fn=DataCollatorWithPadding(tokenizer)):
    seen += len(batch["labels"])
    print(tuple(batch["input_ids"].shape))
print("rows:", seen)
