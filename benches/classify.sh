#!/bin/sh
# Measures the classifier beside DPDK's rte_acl and prints the tables. Arguments go to the bench: check, quick, real.
#
# rte_acl takes part where its development files are (Debian: apt-get install libdpdk-dev); else it is left out with
# a note. Its widest rule set takes 7 GiB of memory for two minutes. All engines run on the same core.
set -eu
cd "$(dirname "$0")/.."

if pkg-config --exists libdpdk; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # shellcheck disable=SC2046 # the flags are words
    cc -O3 -march=native benches/classify/rte_acl.c -o "$folder/rte_acl" $(pkg-config --cflags --libs libdpdk)
    RTE_ACL_DRIVER=$folder/rte_acl
    export RTE_ACL_DRIVER
else
    echo 'SKIPPED: rte_acl is left out: pkg-config does not find libdpdk' >&2
fi

cargo bench --bench classify --no-run
taskset -c 0 cargo bench --bench classify -- "$@"
