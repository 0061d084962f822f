"""cc_net's rules as plainly as they can be written: one function a rule, no batches. The oracle of the fast path.

Written from the description of cc_net's code at bda555b (text_normalizer.py, dedup.py, process_wet_file.py,
split_by_lang.py, perplexity.py), not from ours.
"""

from __future__ import annotations

import gzip
import hashlib
import unicodedata
from pathlib import Path
from urllib.parse import urlparse

PUNCTUATION = dict(
    zip(
        "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►",
        [",", ".", ",", *['"'] * 10, "'", ":", ":", "?", "!", "(", ")", ";", "-", " - ", ". ", "~", "'", "...", "-",
         "<", ">", "[", "]", "%", "-"],
        strict=True,
    )
)  # fmt: skip


def is_control(character: str) -> bool:
    return ord(character) < 32 or 127 <= ord(character) < 160


def zero_digits(text: str) -> str:
    return "".join("0" if character.isdecimal() else character for character in text)


def normalise_for_hash(line: str) -> str:
    line = zero_digits(line.strip().lower())
    return "".join(c for c in line if c not in PUNCTUATION and not is_control(c))


def normalise_for_language_model(text: str) -> str:
    text = unicodedata.normalize("NFD", text.strip().lower())
    text = zero_digits("".join(c for c in text if unicodedata.category(c) != "Mn"))
    text = "".join(PUNCTUATION.get(c, c) for c in text)
    return "".join(c for c in text if not is_control(c))


def hash_of(line: str) -> int:
    return int.from_bytes(hashlib.sha1(normalise_for_hash(line).encode()).digest()[:8], "little")


def parse(path: Path, min_characters: int) -> list[dict]:
    """All documents of a WET file, by splitting the text at its record headers."""
    documents = []
    for part in gzip.decompress(path.read_bytes()).decode().split("WARC/1.0\r\n")[1:]:
        head, _, body = part.partition("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n"))
        if headers["WARC-Type"] != "conversion":
            continue
        lines = [line.strip() for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]]
        last = -2 if not lines[-1] and not lines[-2] else None
        content = "\n".join(lines[1:last])
        if len(content) < min_characters:
            continue
        url = headers["WARC-Target-URI"]
        documents.append(
            {
                "url": url,
                "date_download": headers["WARC-Date"],
                "digest": headers["WARC-Block-Digest"],
                "length": int(headers["Content-Length"]),
                "nlines": content.count("\n") + 1,
                "source_domain": urlparse(url).netloc,
                "title": lines[0],
                "raw_content": content,
                "cc_segment": path.name,  # cc_net has the path in the crawl; these files are of none
            }
        )
    return documents


def find_duplicates(documents: list[dict]) -> set[int]:
    """Hashes that stand in two documents or more."""
    seen, duplicates = set(), set()
    for document in documents:
        hashes = {hash_of(line) for line in document["raw_content"].split("\n")}
        duplicates |= hashes & seen
        seen |= hashes
    return duplicates


def drop_duplicates(document: dict, duplicates: set[int]) -> dict | None:
    lines = document["raw_content"].split("\n")
    seen = set()
    kept = []
    for number, line in enumerate(lines):
        hashed = hash_of(line)
        if hashed not in duplicates and hashed not in seen:
            kept.append(number)
        seen.add(hashed)
    content = "\n".join(lines[number] for number in kept)
    if not content.replace("\n", ""):
        return None
    return {
        **document,
        "original_nlines": len(lines),
        "original_length": document["length"],
        "raw_content": content,
        "length": len(content),
        "nlines": len(kept),
        "line_ids": kept,
    }


def identify(document: dict, fasttext_model, threshold: float) -> dict | None:
    pairs = fasttext_model.f.predict(document["raw_content"].replace("\n", "") + "\n", 1, 0.0, "strict")
    if not pairs:
        return None
    score, label = pairs[0]
    score = round(score, 2)
    if score < threshold:
        return None
    return {**document, "language": label.removeprefix("__label__"), "language_score": score}


def perplexity(text: str, sentencepiece, ngrams) -> float:
    line = " ".join(sentencepiece.encode_as_pieces(normalise_for_language_model(text)))
    return round(10 ** (-ngrams.score(line) / (len(line.split()) + 1)), 1)


def bucket(value: float | None, cutoffs: tuple[float, float] | None) -> str:
    if value is None or cutoffs is None:
        return "all"
    return "head" if value < cutoffs[0] else "middle" if value < cutoffs[1] else "tail"
