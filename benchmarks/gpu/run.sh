#!/bin/sh
# The speedrun on one GPU: tests marked gpu, speed tables, virBERT at bert-medium size (k = 6, stride 1 and 3), the phage
# table from it. One command, called again until it says that nothing is left; each call ends within nine minutes:
#
#     OUT=results sh benchmarks/gpu/run.sh
#
# Work stays in build/gpu (checkpoints), results go to $OUT: speedrun.json, and when the table is done the better encoder in
# fp16 as speedrun-weights-*.safetensors, each under 15 MiB, with speedrun-config.json. It needs the genomes beforehand:
#
#     python -m benchmarks.gpu.genomes DATA build/gpu/genomes      # DATA/genomes/*.parquet and DATA/virus_genomes/*.parquet
#
# `sh benchmarks/gpu/run.sh --toy` goes through all of it on a CPU in a minute, with made-up genomes.
set -eu
cd "$(dirname "$0")/../.."
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec "${PYTHON:-python3}" -m benchmarks.gpu.speedrun --out "${OUT:-build/gpu/out}" "$@"
