"""Rules that several protocols share."""

import numpy as np

from eval.geometry import Areas


def leave_out_ignored(areas: Areas, ignored: np.ndarray) -> Areas:
    """Removes the ignored ground truths, and the predictions that find one of them.

    Those predictions have more than half of their area inside a single ignored ground truth. A prediction that
    encloses nothing lies in none, and stays.

    Args:
        areas: areas of n ground truths and m predictions.
        ignored: (n,) bool, True for ignored ground truths.
    """
    hidden = (areas.shared[ignored] > 0.5 * areas.predictions).any(axis=0)
    return areas.select(~ignored, ~hidden)


def match_in_file_order(iou: np.ndarray) -> int:
    """Counts pairs of a (ground truth, prediction) IoU matrix by the rule of ICDAR 2015.

    Each ground truth in turn takes the first prediction not yet taken whose IoU is above one half.
    """
    free = np.ones(iou.shape[1], dtype=bool)
    for row in iou > 0.5:
        first = np.flatnonzero(row & free)[:1]
        free[first] = False
    return int(np.count_nonzero(~free))
