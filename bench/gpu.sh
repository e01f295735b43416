#!/usr/bin/env bash
# Measure the worker on a bare GPU machine in one call of six minutes: bench/README.md.
#
#   bash bench/gpu.sh [--device cuda|cpu] [--tiny] [--seconds 350] [--only check,train,…]
#
# The table goes to stdout and to $OUT/table.md, each section's output to $OUT/SECTION.log. A section that fails or
# takes too long is a line of the table and does not end the others. --device cpu --tiny tries every line on any machine.
set -uo pipefail
cd "$(dirname "$0")/.."
device=cuda shape=0.5b larger=1.5b seconds= only=
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift ;;
    --tiny) shape=tiny larger=tiny ;;
    --seconds) seconds=$2; shift ;;
    --only) only=$2; shift ;;
    *) echo "unknown option $1; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done
[ "$device" = cpu ] && patience=5 || patience=1
seconds=${seconds:-$((350 * patience))}
out=${OUT:-runs/bench-gpu}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export BENCH_OUT=$out PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}
rm -f "$out"/*.log "$out/figures.jsonl" "$out/profile.txt" "$out/table.md"
py=${PY:-python3}

# What the machine lacks comes from carry/, which bench/gpu-carry.sh filled.
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if ! "$py" -c 'import msgspec, zmq, trl, datasets' 2>/dev/null; then
  "$py" -m pip install -q --no-index --no-deps --no-compile --target "$site" carry/wheels/*.whl >"$out/install.log" 2>&1
  export PYTHONPATH=$site
fi
command -v node >/dev/null || { tar -xJf carry/node.tar.xz -C "$site" && export PATH=$site:$PATH; }
[ -e dist/cli/main.js ] || tar -xJf carry/tms.tar.xz

# section NAME LIMIT COMMAND…: run it within its own limit and what is left of all.
section() {
  local name=$1 limit=$(($2 * patience)) left=$((seconds - SECONDS)) status=0
  shift 2
  case ",$only," in ,, | *",${name%%-*},"*) ;; *) return 0 ;; esac
  [ "$left" -gt "$limit" ] && left=$limit
  if [ "$left" -lt 5 ]; then
    failed "$name" "not run: no time was left"
    return 0
  fi
  local began=$SECONDS
  timeout -k 5 "$left" "$@" >"$out/$name.log" 2>&1 || status=$?
  echo "$name: $((SECONDS - began)) s, status $status" >&2
  case $status in
    0) ;;
    124 | 137) failed "$name" "not finished in $left s" ;;
    *) failed "$name" "failed, see $name.log: $(grep -v '^ ' "$out/$name.log" | tail -n 1 | tr -cd '[:alnum:] .,:()_' | cut -c1-160)" ;;
  esac
}
failed() { printf '{"section": "%s", "what": "%s", "note": "%s"}\n' "${1%%-*}" "$1" "$2" >>"$out/figures.jsonl"; }

if [ "$device" = cpu ] && [ "$shape" != tiny ]; then echo 'On a CPU take --tiny.' >&2; exit 2; fi
section check 60 "$py" -m bench.gpu.check "$device"
section train-default 60 "$py" -m bench.gpu.train "$device" "$shape" full
section train-budget 45 "$py" -m bench.gpu.train "$device" "$shape" full token_budget=16384
section train-bfloat16 45 "$py" -m bench.gpu.train "$device" "$shape" full token_budget=16384 dtype=bfloat16
section trl-mixed 45 "$py" -m bench.gpu.trl "$device" "$shape" full mixed 16
section trl-liger 45 "$py" -m bench.gpu.trl "$device" "$shape" full bfloat16 32 $([ "$device" = cuda ] && echo liger)
section sample 60 "$py" -m bench.gpu.sample "$device" "$shape"
section train-lora 40 "$py" -m bench.gpu.train "$device" "$shape" lora token_budget=16384
section trl-lora 40 "$py" -m bench.gpu.trl "$device" "$shape" lora bfloat16 16
section train-packed 60 "$py" -m bench.gpu.train "$device" "$larger" packed token_budget=16384

quickstart() {
  rm -rf "$out/quickstart"
  local began=$SECONDS epochs=24
  [ "$shape" = tiny ] && epochs=1
  TMS_HOME=$out/home TMS_PYTHON=$(command -v "$py") node dist/cli/main.js run configs/quickstart.yaml --set output_dir="$out/quickstart" \
    --set worker.device="$device" --set num_train_epochs="$epochs" --set save_steps=19 --set tms.num_checkpoints=1 || return
  printf '{"section": "quickstart", "what": "tms run, %s epochs", "ours": %s, "unit": "s"}\n' "$epochs" $((SECONDS - began)) >>"$out/figures.jsonl"
}
export -f quickstart
export out shape py device
section quickstart 100 bash -c quickstart
rm -rf "$out/quickstart" "$out/home"

"$py" -m bench.gpu.table "$device" | tee "$out/table.md"
