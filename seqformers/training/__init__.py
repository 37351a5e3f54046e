"""Recipes in, stock transformers Trainer runs out."""
