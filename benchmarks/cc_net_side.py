"""cc_net's own hashing and mining of a crawl, in a process apart: what ``benchmarks.cc_net`` starts and measures.

    python -m benchmarks.cc_net_side SETTINGS.json        # with cc_net's checkout on PYTHONPATH

cc_net's functions are called as its own executor calls them: ``_hashes_shard`` for each shard, then ``_mine_shard``,
in a pool of processes. Nothing of it is changed, except that fastText 0.9.3 cannot answer one text under numpy 2.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Hash and mine each shard."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _let_fast_text_answer()
    from cc_net import mine  # type: ignore[import-not-found]

    folder, shards = Path(settings["folder"]), int(settings["shards"])
    config = mine.Config(
        config_name="benchmark",
        dump=settings["dump"],
        output_dir=folder,
        execution="debug",
        num_shards=shards,
        hash_in_mem=shards,
        lm_dir=Path(settings["models"]),
        mine_num_processes=0,
        cache_dir=Path(settings["cache"]),
    )
    hashes = [folder / f"{shard:04d}.bin" for shard in range(shards)]
    mined = [folder / "mined" / f"{shard:04d}" for shard in range(shards)]
    (folder / "mined").mkdir()
    with multiprocessing.get_context("fork").Pool(int(settings["processes"])) as pool:
        pool.starmap(mine._hashes_shard, [(config, n, hashes[n]) for n in range(shards)], chunksize=1)
        pool.starmap(mine._mine_shard, [(config, hashes, n, mined[n]) for n in range(shards)], chunksize=1)


def _let_fast_text_answer() -> None:
    """``predict`` of one text builds an array in a way that numpy 2 refuses; the native call is the same."""
    from fasttext.FastText import _FastText

    def predict(
        self: Any, text: str, k: int = 1, threshold: float = 0.0, on_unicode_error: str = "strict"
    ) -> tuple[tuple[str, ...], np.ndarray]:
        if "\n" in text:
            raise ValueError("predict processes one line at a time (remove '\\n')")
        found = self.f.predict(f"{text}\n", k, threshold, on_unicode_error)
        return tuple(label for _, label in found), np.array([score for score, _ in found])

    _FastText.predict = predict


if __name__ == "__main__":
    main()
