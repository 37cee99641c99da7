#!/usr/bin/env bash
# Measures what the socket gives and what it costs the capture, with a live agent. As root:
# benches/verify.sh [SECONDS] [PACKETS_A_SECOND]
#
# 1. `POST /v1/verify` by four clients that keep their connections, alone;
# 2. the same while packets come into the capture's ring;
# 3. one reader of `GET /v1/observe`, while 20,000 flows a second begin until it has been sent more than 100 MB.
#
# The agent watches a veth pair in network namespaces of its own, made and removed here, and has a thousand rules.
# Clients, agent and sender share the machine's cores.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-6}
rate=${2:-500000}
[ "$(id -u)" = 0 ] || { echo "SKIPPED: needs root for network namespaces"; exit 0; }

cargo build --release --locked --bin nsgwatch --bench capture
agent=$PWD/target/release/nsgwatch
helper=$(find target/release/deps -maxdepth 1 -name 'capture-*' -type f -executable -printf '%T@ %p\n' | sort -n | tail -n 1)
helper=$PWD/${helper#* }

work=$(mktemp -d)
outside=nsgask$$out vm=nsgask$$vm
watcher=
cleanup() {
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    ip netns del "$outside" 2>/dev/null || true
    ip netns del "$vm" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

awk 'BEGIN {
    printf "{\"name\":\"bench\",\"securityRules\":["
    for (rule = 0; rule < 1000; rule++)
        printf "%s{\"name\":\"rule-%d\",\"priority\":%d,\"direction\":\"Inbound\",\"access\":\"%s\",\"protocol\":\"Tcp\",\"sourcePortRange\":\"*\",\"destinationAddressPrefix\":\"*\",\"sourceAddressPrefix\":\"10.%d.%d.0/24\",\"destinationPortRange\":\"%d\"}", rule ? "," : "", rule, 100 + rule, rule % 3 ? "Allow" : "Deny", rule / 250, rule % 250, 1000 + rule
    print "]}"
}' >"$work/rules.json"

ip netns add "$outside"
ip netns add "$vm"
ip link add out0 netns "$outside" type veth peer name vm0 netns "$vm"
ip -n "$outside" addr add 10.2.0.9/16 dev out0
ip -n "$vm" addr add 10.2.0.1/16 dev vm0
ip -n "$outside" link set out0 up
ip -n "$vm" link set vm0 up
ip netns exec "$vm" "$agent" run --user root --interface vm0 --nic-nsg "$work/rules.json" --subnet-nsg none --socket "$work/agent.sock" \
    --output "$work/records.jsonl" --format json >"$work/summary" 2>"$work/log" &
watcher=$!
for _ in $(seq 200); do
    "$agent" status --socket "$work/agent.sock" >/dev/null 2>&1 && break
    kill -0 "$watcher" || { cat "$work/log"; exit 1; }
    sleep 0.1
done

echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), $(date +%F)"
echo "alone:         $("$helper" ask "$work/agent.sock" 4 "$seconds")"
ip netns exec "$outside" "$helper" send out0 $((rate * (seconds + 1))) 1000 "$rate" udp >"$work/sent" &
sender=$!
sleep 0.5
echo "with packets:  $("$helper" ask "$work/agent.sock" 4 "$seconds")"
wait "$sender"
echo "sender:        $(cat "$work/sent")"

"$agent" observe --follow -o json --socket "$work/agent.sock" >"$work/stream" &
reader=$!
sleep 0.5
ip netns exec "$outside" "$helper" send out0 240000 240000 20000 syn >"$work/sent"
sleep 1
# Before the agent: what it writes of all flows at its end is another matter.
kill "$reader"
wait "$reader" || true
kill "$watcher"
wait "$watcher" || true
watcher=
unseen=$(awk -F '"count":' '/^{"event":"lost"/ { sum += $2 } END { print sum + 0 }' "$work/stream")
echo "reader:        bytes $(stat -c %s "$work/stream") records $(grep -c '"event":"flow_' "$work/stream" || true) unseen $unseen"
echo "its sender:    $(cat "$work/sent")"
echo "agent:         $(grep -o '"kernel_packets":[0-9]*\|"kernel_drops":[0-9]*' "$work/summary" | tr '\n' ' ')"
