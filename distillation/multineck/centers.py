"""Class centres of multi-neck distillation: the centres of a teacher's ROI descriptors of each class."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distillation.multineck.stage_files import DescriptorSet, read_descriptors, write_descriptors

KIND = "class centres"
# Bounds the weight of a descriptor on its centre, which would be infinite. Descriptors have length 1; this is the
# weight at a distance of 0.07 from the centre.
MAX_WEIGHT = 1e4


class Centers(DescriptorSet):
    """Class centres, `descriptors` (M, 49) with `labels` (M,); a class may have several."""

    def missing_classes(self) -> list[str]:
        """Names of the classes that have no centre."""
        present = set(self.labels.tolist())
        return [name for label, name in enumerate(self.provenance.classes, 1) if label not in present]

    def table(self) -> Tensor:
        """Table (C + 1, K, 49) of the centres of each label, padded with infinity; row 0, the background, has none."""
        own = [self.descriptors[self.labels == label] for label in range(len(self.provenance.classes) + 1)]
        table = torch.full((len(own), max(1, *map(len, own)), self.descriptors.shape[1]), torch.inf)
        for row, centres in zip(table, own):
            row[: len(centres)] = torch.from_numpy(centres)
        return table


def save_centers(path: str | Path, centers: Centers) -> None:
    write_descriptors(path, KIND, centers)


def load_centers(path: str | Path) -> Centers:
    """Reads what `save_centers` wrote; InputError if it is missing, damaged or something else.

    `centers.provenance.match(...)` checks that the centres belong to a run.
    """
    content = read_descriptors(path, KIND)
    return Centers(content.descriptors, content.labels, content.provenance)


def fit_centers(features: DescriptorSet, k: int = 1, seed: int = 0) -> Centers:
    """Clusters the descriptors of each class.

    Args:
        features: descriptors of all boxes.
        k: number of centres per class, at most its number of boxes. 1 (published) is the mean.
        seed: random seed of k-means, for k above 1.
    """
    centres, labels = [np.empty((0, features.descriptors.shape[1]), np.float32)], []
    for label in np.unique(features.labels):
        own = _cluster(features.descriptors[features.labels == label].astype(np.float64), k, seed)
        centres.append(own.astype(np.float32))
        labels += [label] * len(own)
    return Centers(np.concatenate(centres), np.array(labels, np.int32), features.provenance)


def _cluster(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Centres (min(k, n), 49) of points (n, 49)."""
    if len(points) <= k:
        return points
    if k == 1:
        return points.mean(0, keepdims=True)
    from sklearn.cluster import KMeans  # imported here, because it is slow

    return KMeans(k, n_init=3, random_state=seed).fit(points).cluster_centers_


class ClassSpread(NamedTuple):
    """Spread of a class and its distance to the others; Euclidean, between descriptors of length 1.

    Attributes:
        boxes: number of boxes of the class.
        within: mean distance of a box to the nearest centre of its class.
        between: smallest distance of a centre of the class to one of another class; infinite if there is none.
        neighbour: label of that other class, or 0.
    """

    boxes: int
    within: float
    between: float
    neighbour: int


def class_spreads(features: DescriptorSet, centers: Centers) -> dict[int, ClassSpread]:
    """Spread of every class that has a box, by label."""
    spreads = {}
    for label in np.unique(centers.labels).tolist():
        points, own = features.descriptors[features.labels == label], centers.labels == label
        within = _nearest(points, centers.descriptors[own]).mean()
        apart = _nearest(centers.descriptors[~own], centers.descriptors[own])
        nearest = int(apart.argmin()) if len(apart) else None
        between, neighbour = (np.inf, 0) if nearest is None else (apart[nearest], centers.labels[~own][nearest])
        spreads[label] = ClassSpread(len(points), float(within), float(between), int(neighbour))
    return spreads


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) distances of points (n, 49) to the nearest of the centres (k, 49), k > 0."""
    return np.min([np.linalg.norm(points - centre, axis=1) for centre in centres], axis=0)


def nearest_mse(descriptors: Tensor, labels: Tensor, table: Tensor) -> Tensor:
    """Mean squared error of each descriptor to the nearest centre of its class.

    Args:
        descriptors: (N, 49).
        labels: (N,) int64 from 1.
        table: (C + 1, K, 49), see Centers.table.

    Returns:
        (N,); infinite for a class that has no centre.
    """
    return (descriptors[:, None] - table[labels]).square().mean(2).amin(1)


def centre_weights(mse: Tensor) -> Tensor:
    """max(1, 1 / MSE), at most MAX_WEIGHT; 1 for a class that has no centre (whose error is infinite)."""
    return (1 / mse).clamp(1, MAX_WEIGHT)
