"""TAPE: five supervised protein tasks and the Pfam pretraining corpus."""
