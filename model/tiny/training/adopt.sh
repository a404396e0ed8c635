#!/bin/sh
# Puts what train.py made into its places in the checkout: sh model/tiny/training/adopt.sh DIR
#
# DIR is train.py's --out. Replaces the model's files in model/tiny/, the 8-bit golden case, and the
# greedy answer that the tests expect, as PyTorch wrote it.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
golden=$root/tests/golden/q8-g128-act-trained
mkdir -p "$golden"
tar -xf "$1/claire-tiny.tar" -C "$root/model/tiny" --strip-components=1 claire-tiny
tar -xf "$1/claire-tiny.tar" -C "$golden" --strip-components=2 claire-tiny-golden
chmod 644 "$root"/model/tiny/*.* "$golden"/*
# Sample 0 is greedy: from its prompt to the line before sample 1, less the blank line between.
awk '/sample 1:$/ { exit } on; /sample 0:$/ { on = 1 }' "$1/report.txt" |
  sed '$d' >"$root/tests/model/card_dialogue.txt"
