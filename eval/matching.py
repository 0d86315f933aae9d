"""Rules that several protocols share."""

import numpy as np

from eval.geometry import Areas


def leave_out_ignored(areas: Areas, ignored: np.ndarray) -> Areas:
    """Without the ignored ground truths, and without the predictions that find one of them.

    These are the ones with more than half of their area inside a single ignored ground truth. A prediction that
    encloses nothing lies in none, and stays.

    Args:
        areas: of n ground truths and m predictions.
        ignored: (n,) bool.
    """
    hidden = (areas.shared[ignored] > 0.5 * areas.predictions).any(axis=0)
    return areas.select(~ignored, ~hidden)


def match_in_file_order(iou: np.ndarray) -> int:
    """Pairs of a (ground truth, prediction) IoU matrix, as ICDAR 2015 counts them.

    Each ground truth in turn takes the first prediction not yet taken whose IoU is above one half.
    """
    free = np.ones(iou.shape[1], dtype=bool)
    for row in iou > 0.5:
        first = np.flatnonzero(row & free)[:1]
        free[first] = False
    return int(np.count_nonzero(~free))
