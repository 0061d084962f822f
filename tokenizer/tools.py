"""The tools of the package: ``xlmr tokenizer segment``, ``export`` and ``compare``."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError, XlmrError


def segment(text: str, *, model: Path, lines: int = 20) -> None:
    """Show the pieces and ids of a text, or of the first lines of a file.

    Parameters
    ----------
    text
        The text, or the path of a text file.
    model
        A folder of tokenizer.train's or of transformers', a SentencePiece model file, or a tokenizer.json.
    lines
        How many lines of a file to show.
    """
    from tokenizer.folder import load_tokenizer

    tokenizer = load_tokenizer(model)
    for line in _lines(text, lines):
        ids = tokenizer.encode(line)
        print(" ".join(tokenizer.tokens(ids)))
        print(" ".join(map(str, ids.tolist())))


def export(model: Path, folder: Path, *, model_max_length: int | None = None) -> None:
    """Write a SentencePiece model with XLM-R's ids as Hugging Face's files, for AutoTokenizer.from_pretrained(FOLDER).

    Parameters
    ----------
    model
        A folder of tokenizer.train's or of transformers', a SentencePiece model file, or a tokenizer.json.
    folder
        Where to write tokenizer.json, tokenizer_config.json, special_tokens_map.json and sentencepiece.bpe.model.
    model_max_length
        Maximal number of tokens of the model, 512 for XLM-R. transformers truncates longer texts when asked to.
    """
    from tokenizer.folder import load_tokenizer
    from tokenizer.hugging_face import write_tokenizer

    write_tokenizer(load_tokenizer(model), folder, model_max_length)
    print(folder)


def compare(a: Path, b: Path, *texts: Path) -> None:
    """Compare two tokenizers: pieces, scores, ids, and the ids of texts. Exit code 1 where they differ.

    Parameters
    ----------
    a
        A folder, a .model, or a tokenizer.json. Of a folder, the .model is taken where there is one.
    b
        The other.
    texts
        Text files, plain, .gz or .xz, compared line by line. Without any: every piece, and random characters.
    """
    from tokenizer.compare import describe_differences, find_differences, load_side, probes, read_lines

    one, other = load_side(a), load_side(b)
    found = find_differences(one, other, read_lines(texts) if texts else probes(one))
    for line in describe_differences(one, other, found):
        print(line)
    if found:
        raise XlmrError(f"{a} and {b} are not the same tokenizer")


def _lines(text: str, most: int) -> list[str]:
    try:
        path = Path(text)
        if not path.is_file():
            return text.splitlines() or [text]
        with path.open(encoding="utf-8") as handle:
            return [line.rstrip("\n") for line, _ in zip(handle, range(most), strict=False)]
    except UnicodeDecodeError:
        raise UsageError(f"{text}: not a text in UTF-8", "give a text file, or the text itself") from None
    except (OSError, ValueError):  # longer than a path may be
        return text.splitlines()
