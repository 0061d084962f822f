"""Pretraining: samples of pieces in, a masked language model out (XLM-R and XLM-R XL/XXL)."""
