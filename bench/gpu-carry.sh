#!/usr/bin/env bash
# Fill carry/ with what bench/gpu.sh needs on a machine without network: wheels, Node, and the built orchestrator.
#
#   bash bench/gpu-carry.sh [PYTHON_VERSION]      # of the GPU machine; 3.12 if not given
#
# Run where `npm ci` was run, on Linux x86-64. PY is a Python with pip (default: .venv's).
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-3.12}
py=${PY:-.venv/bin/python}
rm -rf carry
mkdir -p carry/wheels
platforms=()
for libc in 28 17 12 5; do platforms+=(--platform "manylinux_2_${libc}_x86_64"); done
"$py" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version "$version" \
  --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d carry/wheels \
  msgspec==0.22.0 pyzmq==27.3.0 trl==1.16.0 'datasets<6' 'dill<0.4.2' multiprocess liger-kernel
npm run --silent build
export XZ_OPT=-3
npm ls --omit=dev --all --parseable 2>/dev/null | tail -n +2 | sed "s|^$PWD/||" | sort -u >carry/modules
tar -cJf carry/node.tar.xz -C "$(dirname "$(readlink -f "$(command -v node)")")" node
tar -cJf carry/tms.tar.xz dist -T carry/modules
rm carry/modules
size=$(du -sm carry | cut -f1)
echo "carry/ holds $size MiB"
[ "$size" -lt 64 ] || { echo 'That is more than one call takes along (64 MiB).' >&2; exit 1; }
