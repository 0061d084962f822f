"""The corpus as text, in the form of the CC100 release: ``<language>.txt.xz``, a paragraph a line, a blank line
between documents, in the order of the corpus: head, middle, tail, all.

Blocks of a language are compressed by processes, each as an xz stream of its own, and then joined: an xz file may be
several streams one after the other, and every reader of xz takes it so.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from corpus.output.arrow_files import read_numbered
from corpus.output.corpus_folder import CorpusFile
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.storage import atomic_write, read_json, write_json

BATCHES_AT_ONCE = 8
"""Record batches of the corpus that are compressed as one block; 32 MiB of text as the corpus is usually cut."""

BLOCKS = ".blocks"
COUNTED = ".counts.json"


@dataclass(frozen=True)
class Block:
    """Some record batches of one file of the corpus."""

    file: CorpusFile
    number: int
    batches: range

    @property
    def name(self) -> str:
        """A plain name, unique in the corpus."""
        return f"{self.file.name}.{self.number:05d}"


def write_text(files: list[CorpusFile], level: int, context: Context) -> Counts:
    """Write each language's file; those that are there are complete."""
    path = context.output / COUNTED
    counts: dict[str, Counts] = read_json(path) if path.exists() else {}
    missing = [f for f in files if f.language not in counts or not (context.output / _name(f.language)).exists()]
    blocks = {block.name: block for file in missing for block in cut_into_blocks(file)}
    folder = context.output / BLOCKS
    inside = Context(context.stage, folder, context.workers, context.log)
    done = inside.map_shards(partial(write_block, level), blocks)
    for language, own in groupby(blocks, key=lambda name: blocks[name].file.language):
        names = list(own)
        counts[language] = sum_counts([done[name] for name in names])
        target = context.output / _name(language)
        # Blocks without text would leave two blank lines.
        join([folder / f"{name}.xz" for name in names if done[name]["documents"]], target)
        counts[language].update(files=1, file_bytes=target.stat().st_size)
        write_json(path, counts)
        for name in names:
            (folder / f"{name}.xz").unlink()
    shutil.rmtree(folder, ignore_errors=True)
    return sum_counts([counts[language] for language in sorted({file.language for file in files})])


def _name(language: str) -> str:
    return f"{language}.txt.xz"


def cut_into_blocks(file: CorpusFile) -> Iterator[Block]:
    """The blocks of one file of the corpus."""
    with pa.memory_map(str(file.path)) as source, pa.ipc.open_file(source) as reader:
        batches = reader.num_record_batches
    for number, start in enumerate(range(0, batches, BATCHES_AT_ONCE)):
        yield Block(file, number, range(start, min(start + BATCHES_AT_ONCE, batches)))


def write_block(level: int, block: Block, workspace: Path) -> ShardReport:
    """One block as an xz stream."""
    counts: Counts = {"documents": 0, "text_bytes": 0}
    with lzma.open(workspace / f"{block.name}.xz", "wb", preset=level) as stream:
        for batch in read_numbered(block.file.path, block.batches):
            documents = paragraphs(batch.column("raw_content")).to_pylist()
            if documents:
                start = "\n" if counts["documents"] else ""
                counts["documents"] += len(documents)
                counts["text_bytes"] += stream.write((start + "\n\n".join(documents) + "\n").encode())
    return ShardReport(counts)


def paragraphs(documents: pa.Array) -> pa.Array:
    """Documents without their empty lines, for a blank line ends a document; those with no text are left out."""
    tight = pc.utf8_trim(pc.replace_substring_regex(documents, r"\n\n+", "\n"), "\n")
    return tight.filter(pc.not_equal(pc.binary_length(tight), 0))


def join(blocks: list[Path], target: Path) -> None:
    """Join the streams, with a stream of one newline between two of them."""
    between = lzma.compress(b"\n")
    with atomic_write(target) as out:
        for number, block in enumerate(blocks):
            if number:
                out.write(between)
            with block.open("rb") as part:
                shutil.copyfileobj(part, out, 1 << 20)
