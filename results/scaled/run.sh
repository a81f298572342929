#!/usr/bin/env bash
# run.sh NAME DATASET SEED SPLIT [options of hvae train]
#
# Trains a run and evaluates it with 500 importance samples on a split, on one thread, into the folder $RUNS (runs).
# What is there already is not made again, and a run that was cut short goes on.
#
#     xargs -P 2 -L 1 ./run.sh < validation.txt
set -euo pipefail
name=$1 dataset=$2 seed=$3 split=$4
shift 4
out=${RUNS:-runs}/$name-seed$seed
mkdir -p "$(dirname "$out")"
if [ ! -f "$out/result.json" ]; then
  if [ -f "$out/config.json" ]; then
    hvae train --resume "$out" --quiet
  else
    hvae train --dataset "$dataset" --seed "$seed" "$@" --out "$out" --quiet
  fi
fi
if [ ! -f "$out.$split.json" ]; then
  hvae eval "$out" --split "$split" --threads 1 --json --quiet > "$out.$split.part"
  mv "$out.$split.part" "$out.$split.json"
fi
