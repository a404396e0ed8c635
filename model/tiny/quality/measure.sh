#!/bin/sh
# Lets the built-in model answer the held-back prompts, judges the answers, and writes figures and
# samples into the model's README: sh model/tiny/quality/measure.sh
set -eu
cd "$(dirname "$0")"
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT
deno run -A answers.ts prompts.json >"$answers"
python3 judge.py prompts.json "$answers" --readme ../README.md
deno fmt -q ../README.md
