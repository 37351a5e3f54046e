"""Seq-deepCpf1 and DeepCpf1: activity of Cpf1 (Cas12a) guides from their target context and chromatin state."""
