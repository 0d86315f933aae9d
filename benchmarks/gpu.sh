#!/bin/sh
# All that a GPU has to show, in ten minutes: benchmarks/gpu.sh [OPTIONS of network_speed.py]
# The tests that compare it with a CPU, then the speed of the networks, eager first and compiled in the time that is left.
set -e
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
begin=$(date +%s)
"$python" -m pytest -q -m gpu
for mode in eager compiled; do
    left=$((begin + 600 - $(date +%s)))
    [ "$left" -gt 0 ] || left=1 # 0 would be no limit
    echo "== $mode, at most $left s"
    timeout "$left" "$python" benchmarks/network_speed.py --modes "$mode" "$@" || [ $? -eq 124 ]
done
