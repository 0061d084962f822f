"""The Python API of this package: what the stages do, on texts in memory, a list or a column of Arrow.

A text is the lines of a document, joined by newlines, as the column ``raw_content`` has it. Settings are those of the
stages, by their names (docs/settings.md). The examples run in tests/corpus/test_api.py.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from pipeline.config import Section
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from corpus.crawl.wet import Document

Texts: TypeAlias = Iterable[str | None] | pa.Array | pa.ChunkedArray
"""A list or other iterable of texts, or a column of them; null is an empty text."""

Settings = TypeVar("Settings", bound=Section)

READ = pa.schema(
    [
        ("url", pa.string()),
        ("date_download", pa.string()),
        ("digest", pa.string()),
        ("source_domain", pa.string()),
        ("title", pa.string()),
        ("raw_content", pa.large_string()),
        ("cc_segment", pa.string()),
    ]
)
"""The columns of documents of a crawl; a corpus has these and more (corpus/output/records.py)."""


class Identified(NamedTuple):
    """The language of each text, '' where none was found, and its probability."""

    languages: list[str]
    probabilities: npt.NDArray[np.float32]


class Filtered(NamedTuple):
    """What is left of each text, and the reason that it is dropped for; None where it is kept."""

    texts: list[str]
    reasons: list[str | None]


def read(
    place: str | Path, *, languages: Sequence[str] = (), buckets: Sequence[str] = (), **settings: Any
) -> Iterator[pa.RecordBatch]:
    """The documents of a crawl or of a corpus, as record batches.

    ``place``  WET or WARC files, JSON lines, Parquet or Arrow: a path, pattern, folder or address; or a corpus: the
               output of corpus.regroup, the folder of a run, or its YAML file.
    ``languages``, ``buckets``  of a corpus, these alone.
    ``settings``  of a crawl: those of ``corpus.read``. Documents under 300 characters are left out, unless
               ``min_characters`` says otherwise. What cannot be read is left out and named by a Python warning.

    >>> import corpus
    >>> for batch in corpus.read("pages.warc.wet.gz", min_characters=20):
    ...     print(batch.schema.names)
    ...     print(batch["title"].to_pylist())
    ['url', 'date_download', 'digest', 'source_domain', 'title', 'raw_content', 'cc_segment']
    ['Harbour', 'Hafen', 'Harbour again']

    Errors: UsageError, XlmrError for what is not there or cannot be read.
    """
    if _is_corpus(place):
        if settings:
            raise UsageError(f"{place}: is a corpus; {', '.join(settings)} is a setting of a crawl", "leave it out")
        return _read_corpus(Path(place), languages, buckets)
    if languages or buckets:
        raise UsageError(f"{place}: is a crawl, which has no languages and buckets", "use corpus.identify")
    from corpus.crawl.settings import Read

    return _read_crawl(str(place), _section(Read, "corpus.read", settings))


def deduplicate(texts: Texts, keep: Literal["drop_all", "keep_first"] = "drop_all") -> list[str]:
    r"""Each text without the lines that stand in several of them, and without its own repeats; '' if none is left.

    Lines are compared as by the stages: in lower case, every digit as 0, without cc_net's punctuation.

    ``keep``  of a line in several texts: drop every copy, or keep the first.

    >>> import corpus
    >>> texts = ["Home\nThe ferry leaves at nine.", "HOME\nThe museum is closed.\nThe museum is closed."]
    >>> corpus.deduplicate(texts)
    ['The ferry leaves at nine.', 'The museum is closed.']
    >>> corpus.deduplicate(texts, keep="keep_first")
    ['Home\nThe ferry leaves at nine.', 'The museum is closed.']
    """
    from corpus.duplicates.exact import Drops, keep_duplicates
    from corpus.duplicates.hash import first_in_document, hash_lines
    from corpus.duplicates.settings import Duplicates

    _section(Duplicates, "corpus.duplicates", {"keep": keep})
    documents = [text.split("\n") for text in _texts(texts)]
    sizes = list(map(len, documents))
    hashes = hash_lines(list(chain.from_iterable(documents)))
    first = first_in_document(hashes, np.repeat(np.arange(len(documents)), sizes))
    duplicates, none = keep_duplicates(hashes[first]), np.empty(0, np.uint64)
    drops = Drops(duplicates, none) if keep == "drop_all" else Drops(none, duplicates)
    stays = iter((first & ~drops.mask(hashes, first)).tolist())
    return ["\n".join([line for line in lines if next(stays)]) for lines in documents]


def identify(texts: Texts, **settings: Any) -> Identified:
    """The language of each text and its probability; '' and 0 for a text that is empty or has no known word.

    ``settings``  of ``corpus.language_id``: ``labels="cc100", own_model="built-in"`` for all codes of CC100.

    >>> import corpus
    >>> corpus.identify(["The ferry leaves the harbour at nine.", "Das Museum ist heute leider geschlossen."])
    Identified(languages=['en', 'de'], probabilities=array([0.79, 1.  ], dtype=float32))

    Errors: UsageError for a setting, XlmrError for a model that cannot be used.
    """
    from corpus.language.identifier import load_identifier
    from corpus.language.settings import LanguageId

    identifier = load_identifier(_section(LanguageId, "corpus.language_id", settings))
    # cc_net joins the lines of a document without a space between them, and so does corpus.mine.
    lines = [text.replace("\n", "") for text in _texts(texts)]
    languages, probabilities = identifier.identify(lines)
    has_text = [bool(line.strip()) for line in lines]  # fastText would name the likeliest language of none
    named = [language if there else "" for language, there in zip(languages, has_text, strict=True)]
    return Identified(named, probabilities * np.array(has_text, np.float32))


def filter(  # noqa: A001 - as a method of a table is named
    texts: Texts, languages: str | Sequence[str] = "", urls: Sequence[str] | None = None, **settings: Any
) -> Filtered:
    """What rules leave of each text, and the reason that they drop it for; kept texts are masked.

    ``languages``  of each text, or one of all; rules know what a word is by it, and some are for one language only.
    ``urls``       of each text, for rules that look at them.
    ``settings``   of ``corpus.filters``: nothing is filtered or masked unless ``rules``, ``own`` or ``mask`` name it.

    >>> import corpus
    >>> texts = ["Write to info@example.org before you visit the museum.", "Home | News"]
    >>> corpus.filter(texts, "en", rules=["length"], length={"min_words": 5}, mask=["email"])
    Filtered(texts=['Write to [email] before you visit the museum.', 'Home | News'],
             reasons=[None, 'length: too few words'])

    Errors: UsageError for a setting, XlmrError for a list or a rule of one's own that cannot be used.
    """
    from corpus.filters.apply import load_filters
    from corpus.filters.settings import Filters

    rules = load_filters(_section(Filters, "corpus.filters", settings))
    lines = [text.split("\n") for text in _texts(texts)]
    codes, addresses = _one_each("languages", languages, len(lines)), _one_each("urls", urls or "", len(lines))
    trimmed = rules.trim(lines, codes)
    lines = [list(compress(of, mask)) for of, mask in zip(lines, trimmed.masks, strict=True)]
    reasons = trimmed.reasons
    if rules.checks:
        left = _kept(reasons)
        of_left = (
            [lines[place] for place in left],
            [addresses[place] for place in left],
            [codes[place] for place in left],
        )
        for place, reason in zip(left, rules.check(*of_left), strict=True):
            reasons[place] = reason
    if rules.masks:
        left = _kept(reasons)
        for place, masked in zip(left, rules.mask([lines[place] for place in left])[0], strict=True):
            lines[place] = masked
    return Filtered(["\n".join(of) for of in lines], reasons)


def score(texts: Texts, languages: str | Sequence[str], models: str | Path) -> list[float | None]:
    """The perplexity of each text under the model of its language; None where it has none, or for an empty text.

    ``models``  a folder with ``<language>.sp.model`` and ``<language>.arpa.bin``: the output of corpus.language_models.

    >>> import corpus
    >>> prose, menu = corpus.score(["The museum is closed today.", "qx zj | vv"], "en", models="models")
    >>> prose < menu
    True
    >>> corpus.score(["Muziejus uždarytas."], "lt", models="models")
    [None]

    Errors: UsageError where there are no models, XlmrError for one that cannot be loaded.
    """
    from corpus.perplexity.score import languages_with_models, load_language_model, name_of_model

    folder = Path(models)
    names = set(languages_with_models(folder))
    if not names:
        raise UsageError(f"{folder}: has no language models", "name the output of corpus.language_models")
    listed = list(_texts(texts))
    codes = _one_each("languages", languages, len(listed))
    scores: list[float | None] = [None] * len(listed)
    for code in sorted(set(codes)):
        if name := name_of_model(code, names):
            places = [place for place, one in enumerate(codes) if one == code]
            values = load_language_model(folder, name).perplexities([listed[place] for place in places])
            for place, value in zip(places, values.tolist(), strict=True):
                scores[place] = None if math.isnan(value) else value
    return scores


def _texts(texts: Texts) -> Iterator[str]:
    if isinstance(texts, str):
        raise UsageError("one text was given where a list is taken", "put it into a list")
    values = texts.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else texts
    return (value or "" for value in values)


def _kept(reasons: Sequence[str | None]) -> list[int]:
    return [place for place, reason in enumerate(reasons) if reason is None]


def _one_each(name: str, values: str | Sequence[str], size: int) -> Sequence[str]:
    """The values, one of each text; a single one stands for all."""
    if isinstance(values, str):
        return [values] * size
    if len(values) != size:
        raise UsageError(f"{name}: {len(values):,} for {size:,} texts", "give one for each, or one for all")
    return values


def _section(model: type[Settings], name: str, settings: dict[str, Any]) -> Settings:
    """The settings, checked. Errors: UsageError, a line with the setting."""
    try:
        return model(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join([name, *map(str, first["loc"])])
        problem = first["msg"].removeprefix("Value error, ")
        problem = problem[0].lower() + problem[1:]
        raise UsageError(f"{setting}: {problem}", "see docs/settings.md") from None


def _is_corpus(place: str | Path) -> bool:
    """Whether it is the output of corpus.regroup, the folder of a run with one, or a run's YAML file."""
    from corpus.output.corpus_folder import COUNTS, STAGE

    path = Path(place)
    if path.suffix in {".yaml", ".yml"}:
        return True
    return path.is_dir() and any((path / name).exists() for name in (COUNTS, STAGE))


def _read_corpus(place: Path, languages: Sequence[str], buckets: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from corpus.output.arrow_files import read_batches
    from corpus.output.corpus_folder import corpus_files, find_corpus

    files = corpus_files(find_corpus(place), languages, buckets)
    return chain.from_iterable(read_batches(file.path) for file in files)


def _read_crawl(crawl: str, read: Any) -> Iterator[pa.RecordBatch]:
    from corpus.crawl.dumps import files_of
    from corpus.crawl.tally import Tally
    from corpus.crawl.wet import read_crawl
    from corpus.duplicates.hash import DOCUMENTS_AT_ONCE, batched

    tally = Tally()
    for documents in batched(read_crawl(files_of(crawl), read, tally), DOCUMENTS_AT_ONCE):
        yield _as_batch(documents)
    for line in tally.warnings():
        warnings.warn(line, stacklevel=2)


def _as_batch(documents: Sequence[Document]) -> pa.RecordBatch:
    names = {"cc_segment": "segment", "raw_content": "lines"}
    columns = {name: list(map(attrgetter(names.get(name, name)), documents)) for name in READ.names}
    columns["raw_content"] = list(map("\n".join, columns["raw_content"]))
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in READ], schema=READ)
