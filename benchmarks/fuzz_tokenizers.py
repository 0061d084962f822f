"""Damaged tokenizers without end: each is read, or refused in one line that names its file.

    python -m benchmarks.fuzz_tokenizers --inputs 2000
    python -m benchmarks.fuzz_tokenizers --seconds 3600 --seed 7

Folders as tokenizer.train, transformers 4 and transformers 5 write them, with bytes changed, files cut, keys of JSON
gone, renamed or of another type. Input number n of a seed is always the same; what fails is named by its number, and
--only shows its traceback. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import sentencepiece

from pipeline.errors import XlmrError
from tokenizer.folder import load_model, load_tokenizer
from tokenizer.hugging_face import check_exportable
from tokenizer.model_file import parse_model
from tokenizer.names import ADDED, CONFIG, MODEL_FILE, TOKENIZER

LINES = ["all human beings are born free and equal in dignity"] * 3
TEXTS = ["all <x> human <new> @@ beings e\u0301\u0301 A", "<new>", "", "é\u0301 Ａ free"]
LAYOUTS = ((MODEL_FILE,), (TOKENIZER,), (MODEL_FILE, TOKENIZER), (MODEL_FILE, CONFIG), (MODEL_FILE, ADDED))
RULES = "41\t61\nE9\t65\n65 301\t65\n"
VALUES: tuple[Any, ...] = (None, 1, -1, 10**30, 1e308, True, "", "x", "<mask>", [], {}, [[]])


def whole_files(scratch: Path, rules: str) -> dict[str, bytes]:
    """One small tokenizer in all the files that others write of it, with an added token and user-defined pieces.

    ``rules`` are its normalisation, a line a rule; without any, what is written of it is looked at too.
    """
    model = io.BytesIO()
    (scratch / "rules.tsv").write_text(rules, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, vocab_size=28, minloglevel=2,
        user_defined_symbols=["<x>", "@"], normalization_rule_name="identity",
        normalization_rule_tsv=str(scratch / "rules.tsv") if rules else "",
    )  # fmt: skip
    (scratch / MODEL_FILE).write_bytes(model.getvalue())
    plain = load_model(scratch / MODEL_FILE)
    new = {"content": "<new>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    charsmap = base64.b64encode(parse_model(plain.model, scratch).charsmap).decode("ascii")
    described = {
        "added_tokens": [{"id": plain.mask_token_id + 1, "special": False, **new}],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": list(zip(plain.vocabulary, plain.scores.tolist(), strict=True)),
        },
    }
    decoder = {str(plain.mask_token_id): {"content": "<mask>", "lstrip": True}, str(plain.mask_token_id + 1): new}
    written = {
        TOKENIZER: described,
        CONFIG: {"added_tokens_decoder": decoder},
        ADDED: {"<new>": plain.mask_token_id + 1},
    }
    return {MODEL_FILE: plain.model, **{name: json.dumps(value).encode() for name, value in written.items()}}


def damaged(data: bytes, rng: random.Random, *, is_json: bool) -> bytes:
    """The same with one to three faults."""
    for _ in range(rng.randint(1, 3)):
        if is_json and rng.random() < 0.7:
            data = _other_key(data, rng)
        elif rng.random() < 0.2:
            data = data[: rng.randrange(len(data) + 1)]
        elif data:
            place = rng.randrange(len(data))
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    return data


def _other_key(data: bytes, rng: random.Random) -> bytes:
    """A key taken away, renamed, or with another value, anywhere in a file of JSON."""
    try:
        value = json.loads(data)
    except ValueError:
        return data
    inside = value
    while isinstance(inside, dict | list) and inside:
        key: Any = rng.choice(list(inside)) if isinstance(inside, dict) else rng.randrange(len(inside))
        below = inside[key]
        if not isinstance(below, dict | list) or not below or rng.random() < 0.3:
            fault = rng.randrange(3)
            if fault == 0:
                inside[key] = rng.choice(VALUES)
            else:
                del inside[key]
            if fault == 1 and isinstance(inside, dict):
                inside[f"{key}_"] = below
            break
        inside = below
    return json.dumps(value).encode()


def use(folder: Path) -> str:
    """Read a folder and do all that is done with a tokenizer. Returns the line that refuses it, or an empty text."""
    try:
        tokenizer = load_tokenizer(folder)
        stream, _ = tokenizer.encode_stream([text.encode() for text in TEXTS])
        for text in TEXTS:
            tokenizer.encode_with_offsets(text)
        tokenizer.decode(stream)
        check_exportable(tokenizer)
    except XlmrError as error:
        line = str(error)
        if "\n" in line or str(folder) not in line:
            raise AssertionError(f"not a line that names the file: {line!r}") from None
        return line
    return ""


def write_input(number: int, seed: int, all_whole: Sequence[Mapping[str, bytes]], folder: Path) -> None:
    """Input ``number`` of a seed."""
    rng = random.Random(f"{seed} {number}")
    whole, names = rng.choice(all_whole), rng.choice(LAYOUTS)
    broken = rng.choice(names)
    for old in folder.iterdir():
        old.unlink()
    for name in names:
        data = whole[name]
        (folder / name).write_bytes(damaged(data, rng, is_json=name != MODEL_FILE) if name == broken else data)


def numbers(given: argparse.Namespace) -> Iterator[int]:
    """The numbers of the inputs: one, or until the inputs or the seconds are used up."""
    if given.only is not None:
        yield given.only
        return
    end = time.monotonic() + given.seconds
    yield from takewhile(lambda n: time.monotonic() < end if given.seconds else n < given.inputs, count())


def main() -> int:
    """Count what is read, refused, and what fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="how many damaged inputs (2000)")
    parser.add_argument("--seconds", type=float, default=0.0, help="run for so long instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=None, help="this input alone, with its traceback")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        whole = [whole_files(Path(scratch), rules) for rules in ("", RULES)]
        folder = Path(scratch) / "input"
        folder.mkdir()
        for number in numbers(given):
            write_input(number, given.seed, whole, folder)
            try:
                line = use(folder)
            except Exception as error:
                counts["failed"] += 1
                print(f"input {number}: {type(error).__name__}: {error}")
                if given.only is not None:
                    traceback.print_exc()
            else:
                counts["refused" if line else "read"] += 1
                if given.only is not None:
                    print(line or "read")
    print(f"{counts.total():,} inputs: " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
