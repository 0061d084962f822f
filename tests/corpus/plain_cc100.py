"""CC100's rules as plainly as can be: language and perplexity by paragraph. The oracle of the fast path."""

from __future__ import annotations

from plain_ccnet import normalise_for_language_model


def title_as_paragraph(document: dict) -> dict:
    """The title is paragraph 0."""
    return {**document, "raw_content": document["title"] + "\n" + document["raw_content"]}


def identify_paragraph(paragraph: str, fasttext_model, threshold: float) -> tuple[str, float] | None:
    pairs = fasttext_model.f.predict(paragraph + "\n", 1, 0.0, "strict")
    if not pairs or round(pairs[0][0], 2) < threshold:
        return None
    return pairs[0][1].removeprefix("__label__"), round(pairs[0][0], 2)


def log_score(paragraph: str, sentencepiece, ngrams) -> tuple[float, int]:
    line = " ".join(sentencepiece.encode_as_pieces(normalise_for_language_model(paragraph)))
    return (ngrams.score(line), len(line.split())) if line else (0.0, 0)


def split_by_language(document: dict, fasttext_model, threshold: float) -> list[dict]:
    """A record for each language of a deduplicated document, its paragraphs in order."""
    found: dict[str, list[tuple[int, str, float]]] = {}
    for number, paragraph in zip(document["line_ids"], document["raw_content"].split("\n"), strict=True):
        answer = identify_paragraph(paragraph, fasttext_model, threshold)
        if answer:
            found.setdefault(answer[0], []).append((number, paragraph, answer[1]))
    records = []
    for language, paragraphs in found.items():
        text = "\n".join(paragraph for _, paragraph, _ in paragraphs)
        characters = sum(len(paragraph) for _, paragraph, _ in paragraphs)
        mean = sum(score * len(paragraph) for _, paragraph, score in paragraphs) / characters
        records.append(
            {
                **document,
                "raw_content": text,
                "length": len(text),
                "nlines": len(paragraphs),
                "line_ids": [number for number, _, _ in paragraphs],
                "language": language,
                "language_score": mean,
                "line_scores": [score for _, _, score in paragraphs],
            }
        )
    return records


def score_record(record: dict, sentencepiece, ngrams) -> dict:
    scores = [log_score(paragraph, sentencepiece, ngrams) for paragraph in record["raw_content"].split("\n")]
    each = [round(10 ** (-score / (number + 1)), 1) if number else None for score, number in scores]
    total = sum(score for score, number in scores if number)
    length = sum(number + 1 for _, number in scores if number)
    return {**record, "line_perplexities": each, "perplexity": round(10 ** (-total / length), 1) if length else None}
