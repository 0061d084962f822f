"""The identifiers that are measured beside each other: lid.176, ours, and the peers, all under the codes of CC100."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.language.peer_side import PEERS
from corpus.language.characters.splitters import split
from corpus.language.identifier import make_identifier
from corpus.language.labels import NO_LANGUAGE, load_table
from corpus.language.model_file import BUILT_IN_IDENTIFIER, BUILT_IN_OWN_MODEL
from corpus.language.models.cld2 import OTHER_NAMES
from corpus.language.settings import CC100, LanguageId

PEER_SIDE = Path(__file__).with_name("peer_side.py")
BATCH = 1_000
LID_176, OURS = "lid.176", "ours"
_CODES = OTHER_NAMES | {"un": "", "und": "", NO_LANGUAGE: ""}
"""Names of the peers that the table of CC100's codes lacks; '' is no answer."""


@dataclass(frozen=True)
class Answers:
    """Codes and scores of texts, and how many seconds of processor time they took."""

    codes: list[str]
    scores: list[float]
    seconds: float


def ours(own_model: str = BUILT_IN_OWN_MODEL) -> LanguageId:
    """Settings of the combined identifier."""
    return LanguageId(model=BUILT_IN_IDENTIFIER, labels=CC100, own_model=own_model)


def lid_176() -> LanguageId:
    """Settings of lid.176 under the same codes, with the same preparing, script check and splitters."""
    return LanguageId(model=BUILT_IN_IDENTIFIER, labels=CC100, own_model="")


def answers_of(settings: LanguageId, texts: Sequence[str]) -> Answers:
    """What an identifier of the product says."""
    identifier = make_identifier(settings)
    identifier.identify(texts[:1])
    codes: list[str] = []
    scores: list[float] = []
    start = time.process_time()
    for first in range(0, len(texts), BATCH):
        found, values = identifier.identify(texts[first : first + BATCH])
        codes += found
        scores += values.tolist()
    return Answers(codes, scores, time.process_time() - start)


def answers_of_peer(peer: str, python: str, texts: Sequence[str]) -> Answers:
    """What a peer says, asked in the Python that it is installed in."""
    order = json.dumps({"peer": peer, "texts": list(texts)})
    done = subprocess.run([python, str(PEER_SIDE)], input=order, capture_output=True, check=True, text=True)
    made = json.loads(done.stdout)
    table = load_table(CC100)
    named = [_CODES.get(label, table.get(label, label)) for label, _ in made["answers"]]
    return Answers(split(named, texts), [score for _, score in made["answers"]], made["seconds"])


def peers(python: str) -> Iterable[str]:
    """The peers that are measured: none without a Python that has them."""
    return PEERS if python else ()
