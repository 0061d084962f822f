"""Stage pretrain.comparable: the corpus and its tokenizer -> vectors for tokens, from pages in several languages.

XLM-R does without any such signal, and so do the papers' configurations. It is for corpora that are too small for
masked language modelling alone to align languages.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs
from pipeline.storage import publish
from pretrain.comparable.pages import find_groups, read_pages
from pretrain.comparable.start import VECTORS
from pretrain.comparable.vectors import TokenCounts, token_vectors
from tokenizer.folder import load_tokenizer

if TYPE_CHECKING:
    from pretrain.stages import ComparableConfig


def run(config: ComparableConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage; nothing unless a training starts from it. Errors: XlmrError for a corpus without such pages."""
    if not config.train.from_comparable_pages:
        return {}
    corpus, tokenizer = inputs["corpus.regroup"], load_tokenizer(inputs["tokenizer.train"])
    groups = find_groups(corpus, config.comparable)
    counts = TokenCounts(tokenizer.vocab_size, len(groups))
    languages: Collection[str] = set()
    with context.progress("comparable pages", unit="documents") as bar:
        for batch in read_pages(corpus, groups):
            for (group, language, _), ids in zip(
                batch, tokenizer.encode_batch([text for *_, text in batch]), strict=True
            ):
                counts.add(group, language, ids)
            languages = {*languages, *(language for group, language, _ in batch if group >= 0)}
            bar.advance(len(batch))
    known, vectors = token_vectors(counts, config.model.hidden_size, config.data.seed)
    temporary = output / f".{VECTORS}.tmp"
    save_file({"tokens": known, "vectors": vectors}, temporary)
    temporary.chmod(0o644)
    publish(temporary, output / VECTORS)
    return {
        "pages": len(groups),
        "languages": len(languages),
        "languages_per_page": round(float(np.mean(groups.languages)), 1),
        "tokens": len(known),
        "tokens_without": tokenizer.vocab_size - len(known),
    }
