#!/usr/bin/env bash
# What is built for x86-64 starts on every x86-64: isa.sh BUILD. Only objects of the levels above
# base may hold instructions that not all have: AVX and what came with it, told by mnemonics (v...,
# BMI, masks) and registers. bench/fma.c, which measures the levels, looks before it leaps.
set -euo pipefail
cd "$1"

find . -name '*.c.o' ! -name 'fma.c.o' -print0 | sort -z |
    xargs -0 objdump -d --no-show-raw-insn | awk -F '\t' '
    BEGIN {
        later = "^(v[a-z]|andn[lq]? |bextr|bls[irm]|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|k(mov|or|test))"
        registers = "%([yz]mm|xmm(1[6-9]|2[0-9]|3[01])|k[0-7])"
    }
    /file format/ { object = $1; sub(/: .*/, "", object); n[object] = 0 }
    NF > 1 && ($2 ~ later || $2 ~ registers) { n[object]++; line[object] = $2 }
    END {
        for (object in n) {
            if (object ~ /weft_avx(2|512)\.dir/) {
                levels++
                if (n[object] < 100) complain(object ": hardly any AVX; would this test see it?")
            } else if (n[object]) {
                complain(object ": " n[object] " instructions of AVX or later, such as " line[object])
            }
            all++
        }
        if (levels < 4) complain(levels + 0 " objects of the levels, of " all)
        exit bad
    }
    function complain(text) { print text; bad = 1 }'
