"""Checkpoints in the background: the state is copied to memory, and a thread writes it while training continues.

The copies that wait for the disk take up a set amount of memory; a larger state is copied at the speed of the disk.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType

from torch import Tensor

from pipeline.errors import XlmrError
from pretrain.checkpoints.checkpoint import About, CheckpointFolder, NamedTensors

Named = tuple[str, Mapping[str, Tensor]]


class Abandoned(Exception):  # noqa: N818 - raised in the thread, never shown to a person
    """The state did not come to its end."""


class Buffer:
    """Named tensors between two threads; ``put`` waits while more than ``limit`` bytes are inside."""

    def __init__(self, limit: int) -> None:
        self._limit, self._inside = limit, 0
        self._items: deque[Named] = deque()
        self._changed = threading.Condition()
        self._ended = self._broken = self._closed = False

    def put(self, item: Named) -> None:
        """Hand over an item. One that nobody takes any more is forgotten."""
        size = _bytes_of(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._inside or self._inside + size <= self._limit)
            if not self._closed:
                self._items.append(item)
                self._inside += size
                self._changed.notify_all()

    def end(self, *, broken: bool) -> None:
        """Nothing more comes; ``broken`` where more should have."""
        with self._changed:
            self._ended, self._broken = True, broken
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more is taken."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Named]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._ended)
                if not self._items:
                    if self._broken:
                        raise Abandoned
                    return
                item = self._items.popleft()
            yield item  # still counted as inside: it is being written
            with self._changed:
                self._inside -= _bytes_of(item)
                self._changed.notify_all()
            del item


class CheckpointWriter:
    """Writes checkpoints into ``folder``, one at a time. As a context manager: no write is left half done."""

    def __init__(self, folder: CheckpointFolder, memory: int) -> None:
        self._folder, self._memory = folder, memory
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self._join()  # what is being written is whole, whatever went wrong since

    def save(self, tensors: NamedTensors, about: About) -> None:
        """Copy the state and have it written. Errors: XlmrError when the one before could not be written."""
        self.finish()
        buffer = Buffer(self._memory)
        self._thread = threading.Thread(target=self._write, args=(buffer, about), name="checkpoint", daemon=True)
        self._thread.start()
        whole = False
        try:
            for item in tensors:
                buffer.put(item)
            whole = True
        finally:
            buffer.end(broken=not whole)

    def finish(self) -> None:
        """Wait until what was saved is on the disk. Errors: XlmrError when it could not be written."""
        self._join()
        error, self._error = self._error, None
        if isinstance(error, OSError):
            raise XlmrError(
                f"{self._folder.folder}: a checkpoint could not be written ({error.strerror or error})",
                "fix that and run the same command again; it resumes from the checkpoint before",
            )
        if error is not None:
            raise error

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, buffer: Buffer, about: About) -> None:
        try:
            self._folder.write(buffer, about)
        except Abandoned:
            pass  # its temporary folder is swept away by the next one
        except BaseException as error:  # raised again by finish
            self._error = error
        finally:
            buffer.close()


def _bytes_of(item: Named) -> int:
    return sum(tensor.nbytes for tensor in item[1].values())
