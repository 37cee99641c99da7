#!/usr/bin/env bash
# On demand: the agent under the unit's limit of memory, enforced, while every packet is a new flow. As root, about half
# a minute: tests/e2e/memory.sh [MIB]      (the unit's own limit is MemoryMax=)
#
# Needs a machine with the first version of control groups, where the limit can be set by hand; the container of
# systemd.sh does not enforce it. Network namespaces and the control group are made and removed here.
set -euo pipefail
cd "$(dirname "$0")/../.."

limit=${1:-512}
[ "$(id -u)" = 0 ] || { echo "SKIPPED: needs root"; exit 0; }
groups=/sys/fs/cgroup/memory
[ -e $groups/memory.limit_in_bytes ] || { echo "SKIPPED: no memory control group to set a limit in"; exit 0; }

cargo build --release --locked --bin nsgwatch --bench capture
agent=$PWD/target/release/nsgwatch
helper=$(find target/release/deps -maxdepth 1 -name 'capture-*' -type f -executable -printf '%T@ %p\n' | sort -n | tail -n 1)
helper=$PWD/${helper#* }

work=$(mktemp -d)
group=$groups/nsgwatch$$ outside=nsgmem$$out vm=nsgmem$$vm process=
cleanup() {
    [ -z "$process" ] || kill -9 "$process" 2>/dev/null || true
    ip netns del "$outside" 2>/dev/null || true
    ip netns del "$vm" 2>/dev/null || true
    sleep 0.5
    rmdir "$group" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ip netns add "$outside"
ip netns add "$vm"
ip link add out0 netns "$outside" type veth peer name vm0 netns "$vm"
ip -n "$vm" addr add 10.2.0.1/16 dev vm0
ip -n "$outside" link set out0 up
ip -n "$vm" link set vm0 up
mkdir "$group"
echo $((limit << 20)) >"$group/memory.limit_in_bytes"

echo '{"name":"none","securityRules":[]}' >"$work/rules.json"
# In the group from its first page on; inside the namespace there is no way to it.
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec ip netns exec "$vm" "$agent" run --user root --interface vm0 --nic-nsg "$work/rules.json" --subnet-nsg none \
        --socket "$work/agent.sock" --output "$work/records.jsonl" --format json >"$work/summary" 2>"$work/log"
) &
process=$!
for _ in $(seq 100); do
    "$agent" status --socket "$work/agent.sock" >/dev/null 2>&1 && break
    kill -0 "$process" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
# Three times as many flows as the table holds, as fast as one core sends.
ip netns exec "$outside" "$helper" send out0 800000 800000 0 syn >"$work/sent"
sleep 2
kill -0 "$process" || { echo "FAIL: the agent was ended: $(grep 'oom_kill ' "$group/memory.oom_control")"; exit 1; }
kill -TERM "$process"
wait "$process"
process=
echo "limit $limit MiB, most in use $(($(cat "$group/memory.max_usage_in_bytes") >> 20)) MiB (files' pages among it), $(grep 'oom_kill ' "$group/memory.oom_control")"
python3 tests/e2e/balance.py 1 <"$work/summary"
