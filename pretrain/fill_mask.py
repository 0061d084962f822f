"""Tool ``xlmr pretrain fill-mask``: a text with <mask> in it -> the pieces that the model would put there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, XlmrError

if TYPE_CHECKING:
    import sentencepiece

MASK = "<mask>"
BOS, EOS, UNK = 0, 2, 3


def fill_mask(text: str, *, model: Path, best: int = 5) -> None:
    """Say which pieces the model puts in the place of <mask>.

    Parameters
    ----------
    text
        Text with <mask> once or more often.
    model
        Folder that pretrain.export wrote.
    best
        How many pieces to show for each <mask>.
    """
    for number, guesses in enumerate(guess(text, model, best), 1):
        print(f"mask {number}")
        for piece, probability in guesses:
            print(f"  {probability:6.3f}  {piece}")


def guess(text: str, folder: Path, best: int) -> list[list[tuple[str, float]]]:
    """For each <mask> the likeliest pieces and their probabilities. Errors: UsageError, XlmrError."""
    import torch

    from pretrain.folder import load_model

    if MASK not in text:
        raise UsageError(f"the text has no {MASK}", f"write {MASK} where a piece is to be guessed")
    pieces = load_pieces(folder)
    model = load_model(folder)
    mask_id = pieces.get_piece_size() + 1
    ids = encode(text, pieces, mask_id)
    if len(ids) > model.config.longest_sample:
        raise UsageError(f"the text has {len(ids)} pieces", f"the model reads {model.config.longest_sample} at most")
    where = torch.tensor([place for place, one in enumerate(ids) if one == mask_id])
    with torch.no_grad():
        scores = model(torch.tensor([ids]), None, where)[:, :mask_id]
    found = scores.softmax(-1).topk(best)
    return [
        [(piece_of(i, pieces), p) for i, p in zip(row_ids, row, strict=True)]
        for row_ids, row in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def encode(text: str, pieces: sentencepiece.SentencePieceProcessor, mask_id: int) -> list[int]:
    """``<s>`` the pieces, with a mask's id between the parts ``</s>``. White space before <mask> belongs to it."""
    ids = [BOS]
    for number, part in enumerate(text.split(MASK)):
        if number:
            ids.append(mask_id)
        ids += [i + 1 if i >= 3 else UNK for i in pieces.encode(part.rstrip())]
    return [*ids, EOS]


def piece_of(number: int, pieces: sentencepiece.SentencePieceProcessor) -> str:
    """The piece of one of our ids."""
    special = ("<s>", "<pad>", "</s>", "<unk>")
    return special[number] if number < 4 else str(pieces.id_to_piece(number - 1))


def load_pieces(folder: Path) -> sentencepiece.SentencePieceProcessor:
    """The tokenizer's model that was exported with the weights."""
    import sentencepiece

    path = folder / "sentencepiece.bpe.model"
    if not path.exists():
        raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote")
    return sentencepiece.SentencePieceProcessor(model_file=str(path))
