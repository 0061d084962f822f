"""Pretraining: sequences of tokens in, a masked language model out (XLM-R and XLM-R XL/XXL)."""
