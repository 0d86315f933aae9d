"""Reports on tested text detectors: self-contained HTML pages, and the comparison of results."""
