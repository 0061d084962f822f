"""Tool ``xlmr pretrain fill-mask``: texts with <mask> in them -> the tokens that a model would put there.

The model is a folder in Hugging Face's layout, a checkpoint, or the folder of a training, whose newest one is taken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.errors import UsageError, XlmrError
from tokenizer.stages import tokenizer_files

if TYPE_CHECKING:
    import torch

    from pretrain.model import MaskedLanguageModel
    from tokenizer.pieces import Tokenizer

MASK = "<mask>"
BOS, EOS = 0, 2
STANDARD_INPUT = "-"
BAR = 20
"""Characters of a probability of 1 in a terminal."""


def fill_mask(
    *texts: str,
    model: Path,
    tokenizer: Path | None = None,
    best: int = 5,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say which tokens the model puts where a text has its mask.

    Parameters
    ----------
    texts
        Texts with <mask> once or more often; without any, or for -, lines of the standard input.
    model
        Folder that pretrain.export or Hugging Face wrote, a checkpoint, or the folder of a training.
    tokenizer
        Folder or file of the tokenizer, where it does not lie beside the weights.
    best
        How many tokens to show for each <mask>.
    as_json
        A JSON record a text.
    """
    if best < 1:
        raise UsageError(f"--best is {best}", "ask for 1 or more")
    filler = Filler.load(model, tokenizer)
    try:
        for number, text in enumerate(_texts(texts)):
            found = filler.guess(text, best)
            if as_json:
                print(json.dumps({"text": text, "masks": [_records(one) for one in found]}, ensure_ascii=False))
            else:
                print("\n".join([*[""] * bool(number), *table(text, found)]))
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guess(text: str, folder: Path, best: int) -> list[list[tuple[str, float]]]:
    """For each <mask> the likeliest tokens and their probabilities. Errors: UsageError, XlmrError."""
    return Filler.load(folder).guess(text, best)


@dataclass(frozen=True)
class Filler:
    """A model and its tokenizer."""

    model: MaskedLanguageModel
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path, tokenizer: Path | None = None) -> Filler:
        """Read both. Errors: XlmrError naming what is missing, or does not fit the other."""
        from tokenizer.folder import load_tokenizer

        if tokenizer is None and not any(path.is_file() for path in tokenizer_files(folder)):
            raise XlmrError(f"{folder}: no tokenizer is in it", "name one with --tokenizer")
        own = load_tokenizer(tokenizer or folder)
        model = load_any_model(folder)
        size, rows = own.vocab_size, model.config.vocab_size
        if rows < size:
            raise XlmrError(
                f"{tokenizer or folder}: a vocabulary of {size:,}, the model of {folder} knows {rows:,}",
                "name the tokenizer that the model was trained with",
            )
        return cls(model.to(own_device()), own)

    def guess(self, text: str, best: int) -> list[list[tuple[str, float]]]:
        """For each <mask> the likeliest tokens and their probabilities. Errors: UsageError."""
        import torch

        if MASK not in text:
            raise UsageError(f"the text has no {MASK}", f"write {MASK} where a token is to be guessed")
        mask, size = self.tokenizer.mask_token_id, self.tokenizer.vocab_size
        ids = encode(text, self.tokenizer)
        if len(ids) > self.model.config.max_sequence_length:
            raise UsageError(
                f"the text has {len(ids)} tokens", f"the model reads {self.model.config.max_sequence_length} at most"
            )
        device = self.model.head.bias.device
        masked_positions = torch.tensor([place for place, one in enumerate(ids) if one == mask], device=device)
        with torch.no_grad():
            scores = self.model(torch.tensor([ids], device=device), None, masked_positions)[:, :size]
        scores[:, mask] = -torch.inf
        found = scores.softmax(-1).topk(min(best, size - 1))
        return [
            [*zip(self.tokenizer.tokens(row_ids), row, strict=True)]
            for row_ids, row in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ]


def own_device() -> torch.device:
    """Where the model works: a GPU if there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_any_model(folder: Path) -> MaskedLanguageModel:
    """From Hugging Face's layout, from a checkpoint, or from the newest one of a training. Errors: XlmrError."""
    from pretrain.checkpoints.checkpoint import RECORD, CheckpointFolder, read_checkpoint
    from pretrain.folder import load_model
    from pretrain.model import build
    from pretrain.parallel import Group, put

    if (folder / RECORD).exists():
        checkpoint = read_checkpoint(folder)
    else:
        inside = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
        newest = CheckpointFolder(inside).newest()[0] if any(inside.glob("step-*")) else None
        if newest is None:
            return load_model(folder)
        checkpoint = newest
    model = build(checkpoint.architecture)
    put(model, checkpoint.load_weights(), {}, Group())
    return model.eval()


def table(text: str, found: Sequence[Sequence[tuple[str, float]]]) -> list[str]:
    """The guesses as lines for a terminal: probability, a bar, the token; ▁ stands for a space before it."""
    lines = [text]
    for number, guesses in enumerate(found, 1):
        lines.append(f"mask {number}")
        lines += [f"  {share:6.1%}  {_bar(share)}  {token}" for token, share in guesses]
    return lines


def encode(text: str, tokenizer: Tokenizer) -> list[int]:
    """``<s>`` the tokens, with a mask's id between the parts ``</s>``. White space before <mask> belongs to it."""
    ids = [BOS]
    for number, part in enumerate(text.split(MASK)):
        if number:
            ids.append(tokenizer.mask_token_id)
        ids += tokenizer.encode(part.rstrip()).tolist()
    return [*ids, EOS]


def _texts(texts: Sequence[str]) -> Iterator[str]:
    for text in texts or (STANDARD_INPUT,):
        yield from _lines(sys.stdin) if text == STANDARD_INPUT else [text]


def _lines(stream: Iterable[str]) -> Iterator[str]:
    yield from (line.rstrip("\n") for line in stream if line.strip())


def _records(guesses: Sequence[tuple[str, float]]) -> list[dict[str, str | float]]:
    return [{"token": token, "probability": share} for token, share in guesses]


def _bar(share: float) -> str:
    eighths = round(8 * BAR * share)
    full, rest = divmod(eighths, 8)
    return ("█" * full + " ▏▎▍▌▋▊▉"[rest] * bool(rest)).ljust(BAR)
