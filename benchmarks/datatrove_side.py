"""datatrove's reading, identification and writing of a crawl, in a process apart, for ``benchmarks.cc_net``.

    python -m benchmarks.datatrove_side FOLDER OUTPUT PROCESSES      # with datatrove on PYTHONPATH

WarcReader, LanguageFilter (fastText's lid.176 through its own back end), JsonlWriter: no deduplication and no language
models, so less work than the other sides do.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the three steps over all files."""
    from datatrove.executor import LocalPipelineExecutor  # type: ignore[import-not-found]
    from datatrove.pipeline.filters import LanguageFilter  # type: ignore[import-not-found]
    from datatrove.pipeline.readers import WarcReader  # type: ignore[import-not-found]
    from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found]

    folder, output, processes = sys.argv[1:]
    LocalPipelineExecutor(
        pipeline=[
            WarcReader(folder, glob_pattern="*.warc.wet.gz"),
            LanguageFilter(language_threshold=0.5),
            JsonlWriter(f"{output}/documents"),
        ],
        tasks=int(processes),
        workers=int(processes),
        logging_dir=f"{output}/logs",
    ).run()


if __name__ == "__main__":
    main()
