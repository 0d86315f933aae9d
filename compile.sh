#!/bin/sh
# Builds the compiled post-processing in place. PYTHON chooses the interpreter, CXX the compiler.
set -eu

fail() {
    echo "error: $1" >&2
    exit 1
}

cd -- "$(dirname -- "$0")"

if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
elif command -v python >/dev/null 2>&1; then
    python=python
else
    python=python3
fi
command -v "$python" >/dev/null 2>&1 || fail "no Python found as '$python': set PYTHON=/path/to/python"

for module in setuptools Cython numpy; do
    "$python" -c "import $module" 2>/dev/null ||
        fail "$module is missing for $python: run  $python -m pip install -r requirement.txt"
done

compiler=${CXX:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CXX") or "c++")')}
command -v "${compiler%% *}" >/dev/null 2>&1 ||
    fail "no C++ compiler found as '${compiler%% *}': install g++, or set CXX=/path/to/compiler"

"$python" setup.py --quiet build_ext --inplace ||
    fail "the build failed, see above (if Python.h is missing, install your system's python3-dev package)"
"$python" -c 'from post_processing import require_extension; require_extension()' ||
    fail "the extension was built but does not load, see above"
echo "post_processing is built"
