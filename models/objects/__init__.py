"""Object detectors of the R-CNN family, on torchvision's parts."""
