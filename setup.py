"""Builds the compiled post-processing in place; `sh ./compile.sh` runs it."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# Fused multiply-add would round distances differently from one machine to the next.
FLAGS = ["/O2", "/std:c++17"] if sys.platform == "win32" else ["-O3", "-std=c++17", "-ffp-contract=off"]

extensions = [
    Extension(
        f"post_processing.{name}",
        [f"post_processing/{name}.pyx"],
        depends=[f"post_processing/{header}.hpp" for header in (name, "growth", "components")],
        extra_compile_args=FLAGS,
        language="c++",
    )
    for name in ("pa", "pse")
]

# Naming no packages keeps setuptools from guessing them: the project runs from its checkout.
setup(packages=[], py_modules=[], ext_modules=cythonize(extensions))
