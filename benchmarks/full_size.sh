#!/bin/sh
# The published recipe at full size, in as many minutes as there are: benchmarks/full_size.sh MINUTES [OPTIONS]
exec "${PYTHON:-python}" "$(dirname "$0")/full_size.py" "$@"
