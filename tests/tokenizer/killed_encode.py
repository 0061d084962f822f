"""Runs tokenizer.encode as a process: python killed_encode.py CORPUS MODEL OUTPUT WORKERS.

KILL_AT_MARK in the environment is the number of the mark at which it is killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kill_at_mark import kill_at_mark

from pipeline.context import Context
from pipeline.log import EventLog
from tokenizer.encode import run
from tokenizer.settings import TokenizerSettings
from tokenizer.stages import EncodeStage

if "KILL_AT_MARK" in os.environ:  # in the workers too
    kill_at_mark(int(os.environ["KILL_AT_MARK"]))

if __name__ == "__main__":
    corpus, model, output = map(Path, sys.argv[1:4])
    settings = TokenizerSettings.model_validate({"encode": {"sequence_length": 32, "shard_bytes": 1}}).encode
    context = Context("tokenizer.encode", output, int(sys.argv[4]), EventLog(output.parent / f"{output.name}.jsonl"))
    run(EncodeStage(encode=settings), {"corpus.regroup": corpus, "tokenizer.train": model}, output, context)
