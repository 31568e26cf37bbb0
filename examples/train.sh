#!/bin/sh
# A shell script as a training: it prepares, calls what trains, and leaves the versions in a folder.
#
#     tf-compleak run --versions=original,pruned \
#         --train_command='sh examples/train.sh {members} {validation} {folder} {seed}'
set -eu
members=$1 validation=$2 folder=$3 seed=$4
here=$(dirname "$0")
echo "training with seed $seed"
python "$here/train.py" --data "$members" --validation "$validation" --out "$folder" --seed "$seed"
ls -l "$folder"
