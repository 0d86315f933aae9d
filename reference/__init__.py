"""The definitions written down plainly and slowly, to compare with: nothing but tests and benchmarks imports it."""
