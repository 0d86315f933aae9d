"""Reference conversion of label maps to polygons."""

from __future__ import annotations

import cv2
import numpy as np

from post_processing import Detection


def label_polygons(labels, score, network_size, original_size, min_area, min_score, bbox_type):
    """Result of `labels_to_polygons`, from one full-size map per instance; `bbox_type` 'points' for all its pixels."""
    (height, width), (height0, width0) = network_size, original_size
    large = [cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST) for m in (labels, score)]
    labels, score = large
    found = []
    for label in range(1, labels.max() + 1):
        member = labels == label
        if member.sum() < max(min_area, 1):
            continue
        mean = float(score[member].astype(np.float64).mean())
        if mean < min_score:
            continue
        points = np.argwhere(member)[:, ::-1]
        flat = cv2.contourArea(cv2.convexHull(points.astype(np.int32))) == 0
        if bbox_type == "points":
            polygon, flat = points, False
        elif bbox_type == "rect":
            polygon = cv2.boxPoints(cv2.minAreaRect(points.astype(np.int32)))
        else:
            mask = member.astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            areas = [cv2.contourArea(contour) for contour in contours]
            polygon = contours[areas.index(max(areas))][:, 0]
            flat = max(areas) == 0
        if flat:
            corners = [points + np.array([dx, dy]) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
            polygon = cv2.boxPoints(cv2.minAreaRect(np.concatenate(corners).astype(np.float32)))
        scaled = (polygon.astype(np.float64) + 0.5) * np.array([width0 / width, height0 / height]) - 0.5
        found.append(Detection(scaled.astype(np.float32), mean))
    return found
