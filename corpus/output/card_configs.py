"""The ``configs`` in the YAML head of a dataset card: one a language, split ``train``, so that Hugging Face's
``datasets.load_dataset(folder, "de")`` reads one language and no other. Text in, text out.

The buckets are no splits: ``all`` is a word of datasets' own. They are a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corpus.output.corpus_folder import CorpusFile
from pipeline.markdown import FENCE, yaml_head

PATTERNS = {
    "parquet": "{language}/{bucket}-*.parquet",
    "jsonl": "{language}_{bucket}_*.json.gz",  # not {language}_*: bn_* would be bn_rom's files too
    "text": "{language}.txt.xz",
    "arrow": "{language}/{bucket}-*.arrow",
}
"""Of each form, the files of a language and bucket. ``arrow`` is the corpus as corpus.regroup writes it."""


def data_files(form: str, files: Iterable[CorpusFile]) -> dict[str, list[str]]:
    """For each language of ``files`` (of the corpus) the patterns of its files in a form; each matches one at least."""
    found: dict[str, dict[str, None]] = {}
    for file in files:
        pattern = PATTERNS[form].format(language=file.language, bucket=file.bucket)
        found.setdefault(file.language, {})[pattern] = None
    return {language: list(patterns) for language, patterns in found.items()}


def card(text: str, files: Mapping[str, Sequence[str]]) -> str:
    """A dataset card with the configs of ``files``: ``text``'s own head and body are kept, its configs replaced."""
    head, body = split_head(text)
    head["configs"] = [
        {"config_name": language, "data_files": [{"split": "train", "path": list(patterns)}]}
        for language, patterns in sorted(files.items())
    ]
    return yaml_head(head) + (body or DEFAULT_BODY)


DEFAULT_BODY = """
# A corpus of web text by language

Load one language with `datasets.load_dataset(FOLDER, LANGUAGE, split="train")`.
"""


def split_head(text: str) -> tuple[dict[str, Any], str]:
    """The YAML head of a card and what follows it; an empty head where it has none."""
    import yaml

    if not text.startswith(FENCE) or "\n" + FENCE not in text:
        return {}, text
    head, _, body = text.removeprefix(FENCE).partition("\n" + FENCE)
    values = yaml.safe_load(head)
    return (values if isinstance(values, dict) else {}), body
