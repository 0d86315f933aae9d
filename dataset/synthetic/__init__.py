"""The embedded data sets, rendered: curved text in the layout of CTW1500, shapes in that of COCO."""
