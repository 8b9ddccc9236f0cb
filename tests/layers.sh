#!/usr/bin/env bash
# A folder includes headers of folders to its left, its own and those of include/ - never to its
# right. io sees of the library only graph/base.h; models see include/ and io. libxsmm and hwloc
# have one file each.
set -euo pipefail
cd "$(dirname "$0")/.."

order=(graph ops autograd optim passes runtime io models)

may_include() { # folder, header
    case $1:$2 in
    io:graph/base.h | models:io/*) return 0 ;;
    io:io/* | models:models/*) return 0 ;;
    io:* | models:*) return 1 ;;
    esac
    for left in "${order[@]}"; do
        [[ $2 == "$left"/* ]] && return 0
        [[ $left == "$1" ]] && return 1
    done
    return 1
}

bad=0
while IFS=: read -r file line text; do
    header=${text#*\"}
    header=${header%\"*}
    if ! may_include "${file%%/*}" "$header"; then
        echo "$file:$line: ${file%%/*} may not include \"$header\""
        bad=1
    fi
done < <(grep -rnE '^ *# *include *"' --include='*.[ch]' "${order[@]}" || true)

only() { # header, file
    local others
    others=$(grep -rlE "^ *# *include *<$1>" --include='*.[ch]' "${order[@]}" | grep -vx "$2" || true)
    if [[ -n $others ]]; then
        echo "$others: only $2 may include <$1>"
        bad=1
    fi
}
only libxsmm.h ops/gemm_xsmm.c
only hwloc.h runtime/topo.c

exit $bad
