"""Threads of the libraries that a worker uses: one, for the workers are what shares a machine out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that begin here have one thread in BLAS and OpenMP, unless the environment says otherwise.

    There are as many workers as the person wants to be busy: a thread for each core in each of them, which is what
    these libraries begin with, cost mining a third of its time.
    """
    unset = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
