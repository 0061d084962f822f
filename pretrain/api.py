"""A pretrained model in Python: what it puts in the place of a mask, and the vectors that it makes of texts.

PyTorch is imported when a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError, XlmrError
from tokenizer.names import tokenizer_files

if TYPE_CHECKING:
    import torch

    from pretrain.model import MaskedLanguageModel
    from tokenizer.pieces import Tokenizer

MASK = "<mask>"
BOS, PAD, EOS = 0, 1, 2

Vectors = NDArray[np.float32]


def load(folder: str | Path, tokenizer: str | Path | None = None) -> PretrainedModel:
    """The model in ``folder`` with its tokenizer, on the GPU if there is one.

    ``folder``     what pretrain.export or transformers wrote, a checkpoint, or the output of pretrain.train, of which
                   the newest checkpoint is taken.
    ``tokenizer``  folder or file of the tokenizer, where it does not lie beside the weights.

    Errors: XlmrError naming what is missing, or does not fit the other.
    """
    from tokenizer.folder import load_tokenizer

    folder, named = Path(folder), None if tokenizer is None else Path(tokenizer)
    if named is None and not any(path.is_file() for path in tokenizer_files(folder)):
        raise XlmrError(f"{folder}: no tokenizer is in it", "name one with --tokenizer")
    own = load_tokenizer(named or folder)
    model = load_weights(folder)
    size, rows = own.vocab_size, model.config.vocab_size
    if rows < size:
        raise XlmrError(
            f"{named or folder}: a vocabulary of {size:,}, the model of {folder} knows {rows:,}",
            "name the tokenizer that the model was trained with",
        )
    return PretrainedModel(model.to(own_device()), own)


@dataclass(frozen=True)
class PretrainedModel:
    """A masked language model and its tokenizer."""

    model: MaskedLanguageModel
    tokenizer: Tokenizer

    @property
    def hidden_size(self) -> int:
        """Numbers of a vector."""
        return self.model.config.hidden_size

    @property
    def max_sequence_length(self) -> int:
        """Tokens that the model reads at most, ``<s>`` and ``</s>`` included."""
        return self.model.config.max_sequence_length

    def fill_mask(self, text: str, best: int = 5) -> list[list[tuple[str, float]]]:
        """For each ``<mask>`` in ``text`` the ``best`` most probable tokens, with their probabilities.

        Errors: UsageError for a text without a mask, or one that is too long.
        """
        import torch

        if MASK not in text:
            raise UsageError(f"the text {text[:60]!r} has no {MASK}", f"write {MASK} where a token is to be guessed")
        mask, size = self.tokenizer.mask_token_id, self.tokenizer.vocab_size
        ids = ids_of(text, self.tokenizer)
        if len(ids) > self.max_sequence_length:
            raise UsageError(f"the text has {len(ids)} tokens", f"the model reads {self.max_sequence_length} at most")
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

    def encode(
        self, texts: Sequence[str], *, pooling: Literal["mean", "first"] = "mean", batch_size: int = 32
    ) -> Vectors:
        """A vector of each text, from the last layer: [texts, hidden_size].

        ``pooling``     the mean over the tokens, ``<s>`` and ``</s>`` included, or the vector of ``<s>``.
        ``batch_size``  texts that pass through the model at once.

        Tokens beyond ``max_sequence_length`` are cut off.
        """
        parts = self.encode_tokens(texts, batch_size=batch_size)
        pooled = [one.mean(0) if pooling == "mean" else one[0] for one in parts]
        return np.stack(pooled) if pooled else np.empty((0, self.hidden_size), np.float32)

    def encode_tokens(self, texts: Sequence[str], *, batch_size: int = 32) -> list[Vectors]:
        """The vectors of each text's tokens, ``<s>`` and ``</s>`` included: [tokens, hidden_size] each."""
        rows = [self._ids(ids) for ids in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))  # texts of like length: little padding
        found: dict[int, Vectors] = {}
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            found |= dict(zip(places, self._vectors([rows[place] for place in places]), strict=True))
        return [found[place] for place in range(len(rows))]

    def _ids(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        return np.concatenate([[BOS], ids[: self.max_sequence_length - 2], [EOS]]).astype(np.int64)

    def _vectors(self, rows: Sequence[NDArray[np.int64]]) -> list[Vectors]:
        import torch

        padded = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
        for place, row in enumerate(rows):
            padded[place, : len(row)] = row
        ids = torch.from_numpy(padded).to(self.model.head.bias.device)
        present = ids.ne(PAD)
        with torch.no_grad():
            hidden = self.model.encoder(ids, None if bool(present.all()) else present).float().cpu().numpy()
        return [hidden[place, : len(row)] for place, row in enumerate(rows)]


def own_device() -> torch.device:
    """Where the model works: a GPU if there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_weights(folder: Path) -> MaskedLanguageModel:
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


def ids_of(text: str, tokenizer: Tokenizer) -> list[int]:
    """``<s>`` the tokens, with a mask's id between the parts ``</s>``. White space before <mask> belongs to it."""
    ids = [BOS]
    for number, part in enumerate(text.split(MASK)):
        if number:
            ids.append(tokenizer.mask_token_id)
        ids += tokenizer.encode(part.rstrip()).tolist()
    return [*ids, EOS]
