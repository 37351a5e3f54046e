"""Train LoRA adapters on a k-mer BERT with peft and push them: some kilobytes, the base model stays as it is.

python lora_with_peft.py USER/MODEL USER/DATA USER/ADAPTER
"""

import sys

import torch
from datasets import load_dataset
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model_id, data_id, adapter_id = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
load = AutoModelForSequenceClassification.from_pretrained
config = LoraConfig(task_type=TaskType.SEQ_CLS, r=4, lora_alpha=8, target_modules=["query", "value"])
model = get_peft_model(load(model_id, trust_remote_code=True, num_labels=2), config)
model.print_trainable_parameters()

rows = load_dataset(data_id, split="train")[:]
batch = tokenizer(rows["sequence"], padding=True, truncation=True, return_tensors="pt")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for step in range(20):
    loss = model(**batch, labels=torch.tensor(rows["label"])).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(step, loss.item())

model.push_to_hub(adapter_id)
torch.manual_seed(0)
again = PeftModel.from_pretrained(load(model_id, trust_remote_code=True, num_labels=2), adapter_id).eval()
print("same after loading:", torch.allclose(again(**batch).logits, model.eval()(**batch).logits, atol=1e-5))
