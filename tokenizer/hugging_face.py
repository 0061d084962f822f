"""A SentencePiece model as Hugging Face's files: tokenizer.json, tokenizer_config.json, special_tokens_map.json.

sentencepiece.bpe.model -> plain JSON, written without their libraries. Their tokenizer then gives the ids of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import XlmrError
from pipeline.storage import atomic_write, canonical_json, write_json
from tokenizer.added import AddedToken
from tokenizer.folder import load_tokenizer
from tokenizer.model_file import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, ModelFile, parse_model
from tokenizer.names import CONFIG, MASK, MODEL_FILE, SPECIAL, TOKENIZER, refused_piece
from tokenizer.normaliser_json import Step, normaliser_steps, replace_step, unused_characters
from tokenizer.pieces import Tokenizer
from tokenizer.unigram_json import USER_DEFINED_SCORE

SPECIAL_TOKENS = "special_tokens_map.json"
FILES = (MODEL_FILE, TOKENIZER, CONFIG, SPECIAL_TOKENS)
"""What a folder needs for ``AutoTokenizer.from_pretrained``."""

NEVER = -1000.0
"""Score of the special pieces, so low that text that becomes one by normalisation (＜ｍａｓｋ＞) is not read as it."""

_KEYS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
}


def check_exportable(tokenizer: Tokenizer) -> None:
    """Check everything that ``write_tokenizer`` needs, without writing: called before hours of training.

    Errors: XlmrError where the tokenizer has settings that their format cannot express.
    """
    _described(tokenizer)


def write_files(path: Path, folder: Path, model_max_length: int | None = None) -> None:
    """Write the files of the tokenizer that ``path`` is: a file or a folder, see ``tokenizer.folder``."""
    write_tokenizer(load_tokenizer(path), folder, model_max_length)


def write_tokenizer(tokenizer: Tokenizer, folder: Path, model_max_length: int | None = None) -> None:
    """Write the files into ``folder``, the model among them.

    ``model_max_length`` is the maximal number of tokens of the model, 512 for XLM-R.
    Errors: XlmrError where the tokenizer has settings that their format cannot express.
    """
    described = _described(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / MODEL_FILE) as copy:
        copy.write(tokenizer.model)
    with atomic_write(folder / TOKENIZER, "w") as file:
        file.write(canonical_json(described))
    added = tokenizer.added.tokens
    write_json(folder / CONFIG, describe_config(tokenizer.mask_token_id, model_max_length, added))
    own = [token.content for token in added if token.special]
    write_json(
        folder / SPECIAL_TOKENS,
        {**_KEYS, "mask_token": _added(MASK)} | ({"additional_special_tokens": own} if own else {}),
    )


def _described(tokenizer: Tokenizer) -> dict[str, Any]:
    try:
        return describe(parse_model(tokenizer.model, tokenizer.source), tokenizer.added.tokens)
    except XlmrError as error:
        raise XlmrError(f"{tokenizer.source}: {error.problem}", error.fix) from None


def describe(model: ModelFile, added: Sequence[AddedToken] = ()) -> dict[str, Any]:
    """The whole of tokenizer.json."""
    _check(model)
    vocabulary = [*SPECIAL, *model.pieces[3:], MASK]
    last = len(vocabulary) - 1
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": model.split_by_white_space}
    # The space before a word is removed first, so that offsets begin with the word; then ▁ is added.
    words = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
    steps = [*([words] if model.split_by_white_space else []), space, *_split_brackets(model)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(
            [
                *({"id": number, **_added(vocabulary[number])} for number in (0, 1, 2, 3, last)),
                *({"id": token.id, **token.describe()} for token in added),
            ],
            key=lambda token: int(token["id"]),
        ),
        "normalizer": {"type": "Sequence", "normalizers": [*normaliser_steps(model), *_brackets(model)]},
        "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
        "post_processor": _template(),
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, space]}
        if model.byte_fallback
        else space,
        "model": _unigram(model, vocabulary) if model.kind == "unigram" else _bpe(model, vocabulary),
    }


def describe_config(mask: int, model_max_length: int | None, added: Sequence[AddedToken] = ()) -> dict[str, Any]:
    """tokenizer_config.json. ``mask`` is the id of <mask>."""
    ids = {**{str(number): piece for number, piece in enumerate(SPECIAL)}, str(mask): MASK}
    decoder = {number: _added(piece) for number, piece in ids.items()}
    decoder |= {str(token.id): token.describe() for token in added}
    own = [token.content for token in added if token.special]
    return {
        **_KEYS,
        "mask_token": MASK,
        "added_tokens_decoder": decoder,
        "add_prefix_space": True,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "XLMRobertaTokenizer",
        # transformers 5's XLMRobertaTokenizer takes only vocabulary and charsmap from tokenizer.json, and builds a
        # normaliser of its own that loses marks. With this key it keeps the one of tokenizer.json. It downloads
        # and runs no code: that would need an auto_map.
        "trust_remote_code": True,
        **({"model_max_length": model_max_length} if model_max_length else {}),
        **({"extra_special_tokens": own} if own else {}),
    }


def _check(model: ModelFile) -> None:
    if model.kind not in {"unigram", "bpe"}:
        raise XlmrError(f"a model of the kind {model.kind} has no equivalent there", "train with unigram or bpe")
    own = (NORMAL, BYTE, USER_DEFINED)
    first, others = model.types[:3].tolist(), np.flatnonzero(~np.isin(model.types[3:], own))
    if len(others) or model.white_space_as_suffix or first != [UNKNOWN, CONTROL, CONTROL]:
        raise XlmrError(
            "the model has white space at the end of words, or other special pieces than XLM-R",
            "train it with tokenizer.train",
        )
    if model.user_defined and model.kind != "unigram":
        raise XlmrError("a model with merges and user-defined pieces has no equivalent there", "train with unigram")
    for piece in sorted(model.user_defined):
        if why := refused_piece(piece, folds_case=model.normalisation.endswith("_cf")):
            raise XlmrError(f"the user-defined piece {piece!r} {why}", "train it without that piece")


def _added(piece: str) -> dict[str, Any]:
    """A special piece. ``<mask>`` includes the space before it, because it replaces ▁word."""
    return {
        "content": piece,
        "single_word": False,
        "lstrip": piece == MASK,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _unigram(model: ModelFile, vocabulary: list[str]) -> dict[str, Any]:
    scores = model.scores[3:].astype(np.float64)
    low = NEVER if _never_is_safe(model) else 0.0
    scores[model.types[3:] == BYTE] = low
    scores[model.types[3:] == USER_DEFINED] = USER_DEFINED_SCORE
    return {
        "type": "Unigram",
        "unk_id": 3,
        "vocab": [[piece, score] for piece, score in zip(vocabulary, [low] * 4 + scores.tolist() + [low], strict=True)],
        "byte_fallback": model.byte_fallback,
    }


def _brackets(model: ModelFile) -> list[Step]:
    """Without a piece < or >, ＜ｍａｓｋ＞ would be cheaper than its characters: < becomes any other unknown one."""
    if model.byte_fallback or {"<", ">"} <= _trained_characters(model):
        return []
    special = "|".join(piece[1:] for piece in (*SPECIAL, MASK))
    # Where user-defined pieces have brackets, only those of special pieces are replaced.
    which = {"Regex": f"<(?={special})"} if any("<" in piece for piece in model.user_defined) else "<"
    return [replace_step(which, unused_characters(model, 1)[0])]


def _split_brackets(model: ModelFile) -> list[Step]:
    """The same where < becomes its byte, and so has to stay: it is cut from what would make a special piece of it."""
    if not model.byte_fallback or {"<", ">"} <= _trained_characters(model):
        return []
    special = "|".join(piece[1:] for piece in (*SPECIAL, MASK))
    return [{"type": "Split", "pattern": {"Regex": f"<(?={special})"}, "behavior": "Isolated", "invert": False}]


def _trained_characters(model: ModelFile) -> set[str]:
    return set("".join(model.pieces[number] for number in np.flatnonzero(model.types == NORMAL)))


def _never_is_safe(model: ModelFile) -> bool:
    """Whether all characters of pieces are pieces themselves.

    An unknown character costs 10 more than the lowest score. With this, any two ways to cut a text have the same number
    of them, so that it does not matter how low that is.
    """
    return _trained_characters(model) <= set(model.pieces)


def _bpe(model: ModelFile, vocabulary: list[str]) -> dict[str, Any]:
    """SentencePiece joins the neighbours whose joined piece has the best score; they want the pairs, best first."""
    ranks = {
        piece: -float(score)
        for piece, score, kind in zip(model.pieces, model.scores, model.types, strict=True)
        if kind == NORMAL
    }
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in sorted(ranks, key=ranks.__getitem__)
        for cut in range(len(piece) - 1, 0, -1)
        if piece[:cut] in ranks and piece[cut:] in ranks
    ]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": SPECIAL[3],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": model.byte_fallback,
        "ignore_merges": False,
        "vocab": {piece: number for number, piece in enumerate(vocabulary)},
        "merges": merges,
    }


def _template() -> dict[str, Any]:
    """``<s> A </s>`` and ``<s> A </s> </s> B </s>``."""
    start, end = ({"SpecialToken": {"id": piece, "type_id": 0}} for piece in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": which, "type_id": 0}} for which in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [start, first, end],
        "pair": [start, first, end, end, second, end],
        "special_tokens": {
            piece: {"id": piece, "ids": [number], "tokens": [piece]} for number, piece in ((0, "<s>"), (2, "</s>"))
        },
    }
