"""From images to detections, to scores, to times."""
