"""References of ``pa`` and ``pse`` in plain Python, written from their definitions; slow, for tests."""

from collections import deque
from collections.abc import Iterator

import numpy as np

Pixel = tuple[int, int]
MAX_AREA_RATIO = 1024
MAX_DISTANCE = 3.0


def neighbours(pixel: Pixel, height: int, width: int) -> Iterator[Pixel]:
    """The 4-neighbours inside the map: above, below, left, right."""
    y, x = pixel
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if 0 <= y + dy < height and 0 <= x + dx < width:
            yield y + dy, x + dx


def components(mask: np.ndarray) -> list[list[Pixel]]:
    """4-connected components of a (h, w) mask, by first pixel; the pixels of each in row-major order."""
    height, width = mask.shape
    seen: set[Pixel] = set()
    found = []
    for start in pixels(mask):
        if start in seen:
            continue
        seen.add(start)
        queue, members = deque([start]), []
        while queue:
            pixel = queue.popleft()
            members.append(pixel)
            for neighbour in neighbours(pixel, height, width):
                if mask[neighbour] and neighbour not in seen:
                    seen.add(neighbour)
                    queue.append(neighbour)
        found.append(sorted(members))
    return found


def pixels(mask: np.ndarray) -> list[Pixel]:
    """(y, x) of the set pixels of a (h, w) mask in row-major order."""
    return [(int(y), int(x)) for y, x in zip(*np.nonzero(mask))]


def placed_seeds(kernel: np.ndarray, min_area: float) -> tuple[dict[int, list[Pixel]], np.ndarray]:
    """The components of a (h, w) kernel mask that are large enough, by number, and their (h, w) int32 labels."""
    numbered = enumerate(components(kernel), start=1)
    seeds = {number: members for number, members in numbered if len(members) >= min_area}
    labels = np.zeros(kernel.shape, dtype=np.int32)
    for number, members in seeds.items():
        for pixel in members:
            labels[pixel] = number
    return seeds, labels


def flagged_means(seeds: dict[int, list[Pixel]], text: np.ndarray, emb: np.ndarray) -> dict[int, np.ndarray]:
    """Seed number -> mean embedding (4,) float64, of the flagged seeds."""
    text_number = {pixel: n for n, members in enumerate(components(text)) for pixel in members}
    home = {}
    for number, members in seeds.items():
        inside = [text_number[pixel] for pixel in members if pixel in text_number]
        if inside:
            home[number] = inside[0]

    def differ(a: int, b: int) -> bool:
        ratio = len(seeds[a]) / len(seeds[b])
        return ratio > MAX_AREA_RATIO or ratio < 1 / MAX_AREA_RATIO

    means = {}
    for a in home:
        if any(home[a] == home[b] and differ(a, b) for b in home):
            total = np.zeros(4)
            for y, x in seeds[a]:
                total = total + emb[:, y, x].astype(np.float64)
            means[a] = total / len(seeds[a])
    return means


def within(embedding: np.ndarray, mean: np.ndarray) -> bool:
    """True when two (4,) embeddings lie within 3 of each other; never true when one holds NaN."""
    d = embedding.astype(np.float64) - mean
    squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + d[3] * d[3]
    return bool(squared <= MAX_DISTANCE**2)


def pa_reference(kernels: np.ndarray, emb: np.ndarray, min_area: float = 0) -> np.ndarray:
    """Pixel aggregation (PAN, Wang et al., ICCV 2019, section 3.4), as ``post_processing.pa`` defines it.

    Args:
        kernels: (2, h, w), text mask and kernel mask, non-zero = set.
        emb: (4, h, w) float32.
        min_area: smallest seed kept, in pixels.

    Returns:
        (h, w) int32 labels, 0 = background.
    """
    text = kernels[0] != 0
    seeds, labels = placed_seeds(kernels[1] != 0, min_area)
    with np.errstate(all="ignore"):
        means = flagged_means(seeds, text, emb)
        queue = deque(pixels(labels))
        while queue:
            pixel = queue.popleft()
            label = int(labels[pixel])
            for neighbour in neighbours(pixel, *text.shape):
                if not text[neighbour] or labels[neighbour]:
                    continue
                if label in means and not within(emb[(slice(None), *neighbour)], means[label]):
                    continue
                labels[neighbour] = label
                queue.append(neighbour)
    return labels


def pse_reference(kernels: np.ndarray, min_area: float = 0) -> np.ndarray:
    """Progressive scale expansion (PSENet, Wang et al., CVPR 2019), as ``post_processing.pse`` defines it.

    Args:
        kernels: (n, h, w), text mask, then kernel masks from large to small, non-zero = set.
        min_area: smallest seed kept, in pixels.

    Returns:
        (h, w) int32 labels, 0 = background.
    """
    *scales, smallest = kernels != 0
    _, labels = placed_seeds(smallest, min_area)
    queue = deque(pixels(labels))
    for scale in reversed(scales):
        edge = deque()
        while queue:
            pixel = queue.popleft()
            is_edge = True
            for neighbour in neighbours(pixel, *scale.shape):
                if scale[neighbour] and not labels[neighbour]:
                    labels[neighbour] = labels[pixel]
                    queue.append(neighbour)
                    is_edge = False
            if is_edge:
                edge.append(pixel)
        queue = edge
    return labels
