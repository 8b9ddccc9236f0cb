#!/usr/bin/env bash
# A test program that cannot have the vectors it is asked for says so in one line and leaves with 1.
set -uo pipefail

text=$(WF_ISA=bogus "$1" 2>&1)
code=$?
echo "code $code: $text"
[[ $code == 1 && $text == "WF_ISA=bogus: expected"* && $text != *$'\n'* ]]
