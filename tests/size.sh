#!/usr/bin/env bash
# Sizes: lines of a file, of a function (from its brace in column 0 to the closing one), and of all.
set -euo pipefail
cd "$(dirname "$0")/.."

library=(graph ops autograd optim passes runtime include)
drivers=(io models)
bad=0

complain() {
    echo "$1"
    bad=1
}

files() {
    find "$@" -name '*.[ch]' | sort
}

for file in $(files "${library[@]}" "${drivers[@]}"); do
    case $file in
    include/weft/weft.h) limit=400 ;;
    include/weft/train.h) limit=200 ;;
    include/weft/op.h) limit=260 ;;
    ops/simd*.h) limit=400 ;; # inline vector functions: code, not a contract
    *.h) limit=150 ;;
    *) limit=400 ;;
    esac
    lines=$(wc -l <"$file")
    ((lines <= limit)) || complain "$file: $lines lines, the limit is $limit"
done

for file in $(files examples); do # to be read at one sitting
    lines=$(wc -l <"$file")
    ((lines <= 120)) || complain "$file: $lines lines, the limit is 120"
done

long=$(files "${library[@]}" "${drivers[@]}" | xargs awk '
    FNR == 1 { start = 0 }
    /^\{/ { start = FNR }
    /^\}/ {
        if (start && FNR - start > 60)
            print FILENAME ":" start ": a function of " FNR - start " lines, the limit is 60"
        start = 0
    }')
[[ -z $long ]] || complain "$long"

total() { # limit, folders
    local limit=$1 lines
    shift
    lines=$(files "$@" | xargs cat | wc -l)
    echo "$lines of $limit lines: $*"
    ((lines <= limit)) || complain "$*: $lines lines, the budget is $limit"
}
total 21400 "${library[@]}"
total 7500 "${drivers[@]}"

exit $bad
