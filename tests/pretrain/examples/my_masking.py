import numpy as np


def one_run(candidates):
    """Mask one run of tokens that stand together, at a random place of each sequence."""
    length = candidates.ids.shape[1]
    start = (candidates.uniform(100)[:, :1] * (length - candidates.amount[:, None])).astype(int)
    place = np.arange(length)
    return (place >= start) & (place < start + candidates.amount[:, None]) & candidates.maskable
