"""The texts of a dataset card that no manifest holds: fields, how to load, limits, licence, citation. Only words."""

from __future__ import annotations

BCP47 = {
    "als": "gsw",  # fastText's als is Alemannic, as Wikipedia called it; BCP-47's is Tosk Albanian
    "bn_rom": "bn-Latn",
    "hi_rom": "hi-Latn",
    "my_zaw": "my-Qaag",  # Unicode's CLDR: Qaag stands for Zawgyi
    "ns": "nso",  # no code of ISO 639; the release means Northern Sotho
    "roa-tara": "roa-x-tara",  # Wikipedia's code of Tarantino, which has none of its own
    "ta_rom": "ta-Latn",
    "te_rom": "te-Latn",
    "ur_rom": "ur-Latn",
}
"""Codes that are no BCP-47 tags as they are, or another language's."""

USED = ("fasttext", "kenlm", "numpy", "pyarrow", "sentencepiece")
"""Packages that decide what a corpus holds."""

FIELDS = {
    "url": "address of the page",
    "date_download": "when it was crawled, ISO 8601",
    "digest": "checksum of the record, as the crawl gives it",
    "length": "characters of raw_content",
    "nlines": "lines of raw_content",
    "source_domain": "host of the address",
    "title": "first line of the page; part of raw_content only where it was read as paragraph 0 (read.title)",
    "raw_content": "the text: lines that were kept, joined by newlines",
    "cc_segment": "file of the crawl that it stands in",
    "original_nlines": "lines before anything was dropped",
    "original_length": "bytes of the record in the crawl (Content-Length)",
    "line_ids": "which lines of the record were kept, counted from 0",
    "language": "code of the language",
    "language_score": "how sure the identifier is, 0 to 1; the mean over characters where paragraphs were decided on",
    "perplexity": "under the 5-gram model of the language; null where it has none. Not comparable between languages",
    "line_scores": "language_score of each line, where paragraphs were decided on",
    "line_perplexities": "perplexity of each line, where paragraphs were decided on",
    "bucket": "head, middle, tail by perplexity, or all",
}
"""Every column of corpus.output.records.CORPUS. Source of the names: cc_net."""

LOADING = """`FOLDER` stands for the path of the folder that this file is in. With Hugging Face's datasets:

```python
from datasets import load_dataset

rows = load_dataset("FOLDER", "LANGUAGE", split="train")
```

With pyarrow, mapped into memory and not read before it is asked for (of a Parquet export, `format="parquet"`):

```python
import pyarrow.dataset

rows = pyarrow.dataset.dataset("FOLDER/LANGUAGE", format="ipc")
head = rows.to_table(columns=["url", "raw_content"], filter=pyarrow.dataset.field("bucket") == "head")
```

With DuckDB, over the same (a Parquet export also by its name, `FROM 'FOLDER/LANGUAGE/*.parquet'`):

```python
import duckdb
import pyarrow.dataset

rows = pyarrow.dataset.dataset("FOLDER/LANGUAGE", format="ipc")
print(duckdb.sql("SELECT bucket, count(*), avg(perplexity) FROM rows GROUP BY bucket"))
```

With Polars (of a Parquet export, `scan_parquet`):

```python
import polars

rows = polars.scan_ipc("FOLDER/LANGUAGE/*.arrow").select("url", "bucket", "raw_content").collect()
```"""

LIMITS = (
    "It is what the web says, not what is true or fair: views, errors, prejudice, advertising, spam, adult and "
    "machine-translated text are in it, and languages and dialects with few pages or with fewer users of the web are "
    "under-represented.",
    "The language is a model's guess. It errs most on close languages, short and mixed text, and on languages with "
    "little text, where a small share of a large language's errors can outweigh what is real.",
    "Perplexity is measured under a model of clean text, as that of an encyclopedia: head favours such prose over "
    "speech, dialogue, lists and dialects. It says nothing of quality beyond that, and cut-offs are percentiles of "
    "each language, so that head of one language may be worse than tail of another.",
)

DROPS_ALL = (
    "Every copy of a line that stands in two documents of a window is dropped, the first too: menus and boilerplate "
    "go, and so do quotations, verses and laws; what is left of a page may have gaps (`line_ids` says where)."
)
KEEPS_FIRST = (
    "Of a line that stands in several documents of a window only the first copy is kept: the other pages have gaps "
    "(`line_ids` says where)."
)
WITHOUT_NEAR_DUPLICATES = "Of documents that are nearly the same one was kept, as far as MinHash found them."
WITH_NEAR_DUPLICATES = "Documents that are nearly the same were not looked for: templates and revised pages are in it."
BY_DOCUMENT = "A document has one language; passages in others are in it."
BY_PARAGRAPH = (
    "Language and perplexity were decided by paragraph: short paragraphs are the hardest to tell, and a document may "
    "be cut where its language changes."
)
BY_PRIOR = (
    "Short paragraphs, names and numbers took the language of their document; text in languages under {rate:g} of the "
    "crawl is there only where a document has enough of it."
)
THRESHOLD = "What the identifier was less sure of than {threshold} is not there."
WITHOUT_MODEL = "No model, so no perplexity and the bucket `all`: {languages}."
MASKED = "Personal data was masked by patterns ({kinds}); names and other personal data remain."
NOT_MASKED = "Personal data was not masked."
FILTERED = (
    "Documents and lines were dropped by rules besides: {rules}. Such rules fit some languages better than others."
)
NOT_FILTERED = "No filter by content was applied."

LICENCE_COMMON_CRAWL = (
    "The pages were fetched by CommonCrawl, whose [terms of use](https://commoncrawl.org/terms-of-use) bind whoever "
    "uses them and this corpus. They grant no rights in the texts, which belong to their authors: `url` and `digest` "
    "say which page a text is from, so that what must go can be found. `xlmr corpus minify` writes metadata without "
    "text, from which the corpus is rebuilt out of the crawl."
)
LICENCE_OTHER = (
    "The texts belong to the authors of the pages (`url`); whoever passes this corpus on has to know by which right. "
    "If the crawl is CommonCrawl's, its [terms of use](https://commoncrawl.org/terms-of-use) bind too."
)

CITATION = """What is done here was described in

```bibtex
@inproceedings{wenzek-etal-2020-ccnet,
  title = {{CCN}et: Extracting High Quality Monolingual Datasets from Web Crawl Data},
  author = {Wenzek, Guillaume and Lachaux, Marie-Anne and Conneau, Alexis and Chaudhary, Vishrav and
            Guzm{\\'a}n, Francisco and Joulin, Armand and Grave, Edouard},
  booktitle = {Proceedings of the Twelfth Language Resources and Evaluation Conference},
  year = {2020},
  pages = {4003--4012}
}

@inproceedings{conneau-etal-2020-unsupervised,
  title = {Unsupervised Cross-lingual Representation Learning at Scale},
  author = {Conneau, Alexis and Khandelwal, Kartikay and Goyal, Naman and Chaudhary, Vishrav and
            Wenzek, Guillaume and Guzm{\\'a}n, Francisco and Grave, Edouard and Ott, Myle and
            Zettlemoyer, Luke and Stoyanov, Veselin},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  year = {2020},
  pages = {8440--8451}
}
```"""
