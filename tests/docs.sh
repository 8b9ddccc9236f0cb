#!/usr/bin/env bash
# docs/ops.md is what the descriptors say: docs.sh PROGRAM, the one that prints it.
set -euo pipefail
cd "$(dirname "$0")/.."

"$1" | diff -u docs/ops.md - && exit
echo "docs/ops.md is not current: ./dev docs renews it"
exit 1
