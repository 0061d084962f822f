"""Builds the embedded crawl, the clean text and the labelled task of `samples/` from public packages.

Run by hand, `python -m samples.builder --cache DIR`; the result is committed. Same packages, same bytes.
"""
