"""Images of objects: records, augmentation, COCO."""
