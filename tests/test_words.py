"""The project speaks the field's words: what stands left in the table of words must not stand in code, settings, docs.

Names are read token by token, and split at underscores and capitals: ``head_chunk`` is refused whole, ``crew`` in any
name. Prose is what stands in comments, texts, pages, templates and configurations.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.dag import Dag

ROOT = Path(__file__).parents[1]
NOT_YET = set[str]()
"""Packages whose words are still the old ones."""

OF_PRETRAIN = {
    "clip", "feed_forward", "head_chunk", "heads", "keep", "layers", "positions", "recompute", "rows_multiple_of",
    "sample", "sample_length", "samples", "start_from", "start_from_frequencies", "targets", "vocabulary_rows",
    "warmup", "where", "width",
}  # fmt: skip
NAMES = {
    "pipeline": {"part", "parts"},
    "corpus": {"said"},
    "tokenizer": set[str](),
    "pretrain": OF_PRETRAIN,
    "finetune": {
        "clip",
        "feed_forward",
        "head_chunk",
        "keep",
        "recompute",
        "targets",
        "vocabulary_rows",
        "where",
        "width",
    },
    "flows": set[str](),
    "other": OF_PRETRAIN - {"heads", "layers", "keep", "positions", "sample", "samples", "where", "width"},
}
"""Whole names that a package, its tests included, does not give."""
SETTINGS = OF_PRETRAIN - {"sample", "keep"} | {"part", "piece", "pieces", "update", "updates"}
"""Names that no setting has; ``tokenizer.sample`` is drawn at random, so it is a sample; ``keep`` is of duplicates."""

WORDS = {
    *("adopt", "adopted", "adoption", "adopts", "belief", "beliefs", "chance", "crew", "gate", "gates", "habit"),
    "habits",
    *("house", "mend", "mended", "room", "rooms", "sift", "spine", "tape", "told", "together"),
}  # fmt: skip
"""Words that stand in no name of any package, alone or with others."""
WORDS_OF = {
    "pretrain": {"update", "updates", "piece", "pieces"},
    "finetune": {"update", "updates", "piece", "pieces"},
    "corpus": {"piece", "pieces"},
    "pipeline": {"piece", "pieces"},
    "flows": {"piece", "pieces"},
    "other": {"piece", "pieces"},
    "tokenizer": set[str](),
}
FOREIGN = {
    *("update", "where", "parts", "layers", "clip", "positions", "width"),  # of dict, hashlib, numpy, pathlib, torch
    "feed_forward",  # the module, which is no size
    *("id_to_piece", "piece_to_id", "get_piece_size", "encode_as_pieces", "IdToPiece", "piece_size", "pieces", "piece"),
}
"""Attributes and arguments of other libraries' objects, and modules of the model: after a dot or before =."""

PROSE = (
    r"\brooms?\b", r"\bspine\b", r"\b(?:of|in) (?:this|the) house\b", r"\bmend(?:s|ed|ing)?\b", r"\bsmall letters\b",
    r"\bhang(?:s|ing)? on\b", r"\bcomes? of\b", r"\b(?:go|goes|went|going) on\b", r"\bfall(?:s|en)?\b(?! back)",
    r"\blets? (?:it |them |its \w+ )?go\b", r"\btold\b", r"\btapes?\b", r"\bbur(?:y|ied)\b", r"\bbears? company\b",
    r"\bwhat is made small\b", r"\bcrews?\b", r"\badopt(?:s|ed|ion)?\b", r"\bthe gate\b", r"\bSift\b", r"\bbeliefs?\b",
)  # fmt: skip
"""Figures of speech, and the old words in sentences."""
PROSE_OF = {
    "pretrain": (r"\bpieces?\b", r"\bupdates?\b", r"\bsample_length\b"),
    "finetune": (r"\bpieces?\b", r"\bupdates?\b"),
    "corpus": (r"\bpieces?\b",),
}
EXEMPT: dict[str, set[str]] = {
    "pretrain/model.py": {"pieces"},  # what a seed is drawn from
    "pretrain/settings.py": {"updates"},  # an earlier name
    "tests/finetune/test_fuzz_kinds.py": {"keep"},  # an argument of a benchmark
}
"""File -> words that it has to hold, as data or as a quotation."""

PAGES = {".md", ".yaml", ".yml", ".toml", ".j2", ".css", ".sh", ".sbatch"}


def _package(path: Path) -> str:
    top, *below = path.parts
    top = below[0] if top == "tests" and below else top
    return top if top in WORDS_OF else "other"


def _files() -> list[Path]:
    folders = ("pipeline", "corpus", "tokenizer", "pretrain", "finetune", "flows", "tests", "benchmarks", "scripts")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found += [
        p for folder in (*folders, "docs", "configs", "infra") for p in (ROOT / folder).rglob("*") if p.suffix in PAGES
    ]
    found += [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "samples").glob("*.py"), *(ROOT / "samples").glob("*.md")]
    return sorted({path.relative_to(ROOT) for path in found} - {Path("tests/test_words.py")})


@cache
def _tokens(path: Path) -> tuple[list[tuple[int, str, bool]], list[tuple[int, str]]]:
    """(line, name, whether after a dot or before =) and (line, prose) of a Python file."""
    names, prose, dotted = [], [], False
    tokens = list(tokenize.generate_tokens(io.StringIO((ROOT / path).read_text()).readline))
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == tokenize.NAME:
            names.append((token.start[0], token.string, dotted or following.string == "="))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            prose += [(token.start[0] + n, line) for n, line in enumerate(token.string.splitlines())]
        dotted = token.string == "."
    return names, prose


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name.replace("SentencePiece", ""))}


def _found(path: Path) -> Iterator[str]:
    package, names = _package(path), list[tuple[int, str, bool]]()
    if path.suffix == ".py":
        names, prose = _tokens(path)
    else:
        prose = list(enumerate((ROOT / path).read_text().splitlines(), 1))
    for line, name, dotted in names:
        old = name if name in NAMES[package] else next(iter(_words(name) & (WORDS | WORDS_OF[package])), "")
        if old and not (dotted and name in FOREIGN) and old not in EXEMPT.get(str(path), ()):
            yield f"{path}:{line}: the name {name}"
    pattern = re.compile("|".join((*PROSE, *PROSE_OF.get(package, ()))))
    for line, text in prose:
        for match in pattern.finditer(text):
            if match[0] not in EXEMPT.get(str(path), ()):
                yield f"{path}:{line}: {match[0]!r} in {text.strip()[:100]}"


@pytest.mark.parametrize("package", sorted(WORDS_OF))
def test_no_old_word_in(package: str) -> None:
    found = [line for path in _files() if _package(path) == package for line in _found(path)]
    if package in NOT_YET:
        pytest.skip(f"{len(found)} old words are left")
    assert not found, "\n".join(["", *found])


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings(field.annotation, f"{prefix}{name}.")


def test_no_setting_has_an_old_name() -> None:
    names = [name for name in _settings(Dag.default().config_model) if name.partition(".")[0] not in NOT_YET | {"run"}]
    assert not [name for name in names if name.rpartition(".")[2] in SETTINGS]


def test_a_class_has_a_name_of_its_own() -> None:
    """Two classes of one name cannot be distinguished in an import, an error or an index."""
    files: dict[str, list[str]] = {}
    for package in sorted(set(WORDS_OF) - {"other"}):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in re.findall(r"^class (\w+)[(:]", path.read_text(), re.MULTILINE):
                files.setdefault(name, []).append(str(path.relative_to(ROOT)))
    shared = {name: places for name, places in files.items() if len(places) > 1}
    assert not [f"{name}: {', '.join(places)}" for name, places in sorted(shared.items())]
