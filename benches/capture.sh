#!/usr/bin/env bash
# Compares nsgwatch with the capture tools of Debian on this machine, under the same bounded load, and prints a table
# in Markdown. As root: benches/capture.sh [RUNS]
#
# Every run has a fresh pair of network namespaces joined by a veth pair, made and removed here. The sender is
# pinned to one core and the tool to another. "CPU" is user and system time of the tool and all its descendants,
# start and end included; what the kernel does for a tap is in the sender's time, which is shown beside it. A tool
# that is not installed is skipped with a note (Debian: tcpdump softflowd nfdump pmacct iperf3 iproute2).
#
# `nsgwatch` is the agent with 30 rules that writes a record of each new flow (--events start) to a file, as JSON;
# `nsgwatch-both` also writes one of each flow's end, which is the default.
#
# Choose loads by name with LOADS="many million text new idle iperf known replay" (default: all of them).
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-3}
loads=${LOADS:-many million text new idle iperf known replay}
[ "$(id -u)" = 0 ] || { echo "SKIPPED: needs root for network namespaces"; exit 0; }

cargo build --release --locked --bin nsgwatch --bench capture
agent=$PWD/target/release/nsgwatch
helper=$(find target/release/deps -maxdepth 1 -name 'capture-*' -type f -executable -printf '%T@ %p\n' | sort -n | tail -n 1)
helper=$PWD/${helper#* }

work=$(mktemp -d)
outside=nsgbench$$out vm=nsgbench$$vm
cleanup() {
    ip netns del "$outside" 2>/dev/null || true
    ip netns del "$vm" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Thirty rules as a group typically has them, made here so that the script needs no data.
make_rules() { # COUNT PREFIXES_A_RULE
    awk -v count="$1" -v prefixes="$2" 'BEGIN {
        printf "{\"name\":\"bench\",\"securityRules\":["
        for (rule = 0; rule < count; rule++) {
            printf "%s{\"name\":\"rule-%d\",\"priority\":%d,\"direction\":\"Inbound\",", rule ? "," : "", rule, 100 + rule
            printf "\"access\":\"%s\",\"protocol\":\"%s\",", rule % 3 ? "Allow" : "Deny", rule % 2 ? "Tcp" : "Udp"
            printf "\"sourcePortRange\":\"*\",\"destinationAddressPrefix\":\"*\","
            printf "\"destinationPortRange\":\"%d\",\"sourceAddressPrefixes\":[", 1000 + rule * 7
            for (prefix = 0; prefix < prefixes; prefix++) {
                number = rule * prefixes + prefix
                printf "%s\"%d.%d.%d.0/24\"", prefix ? "," : "", 20 + int(number / 65536), int(number / 256) % 256, number % 256
            }
            printf "]}"
        }
        printf "]}"
    }'
}
make_rules 30 4 >"$work/rules-30.json"
make_rules 1000 4 >"$work/rules-1000.json"
make_rules 20 2500 >"$work/rules-50k.json"
cat >"$work/pmacct.conf" <<CONF
daemonize: false
pcap_interface: vm0
plugins: memory[m]
aggregate: src_host,dst_host,src_port,dst_port,proto
imt_path: $work/pmacct.pipe
imt_buckets: 524287
imt_mem_pools_number: 0
imt_mem_pools_size: 1048576
plugin_pipe_size: 268435456
plugin_buffer_size: 65536
pmacctd_pipe_size: 33554432
CONF

make_network() {
    ip netns add "$outside"
    ip netns add "$vm"
    ip link add out0 netns "$outside" type veth peer name vm0 netns "$vm"
    for name in "$outside" "$vm"; do
        ip netns exec "$name" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        ip -n "$name" link set lo up
    done
    ip -n "$outside" addr add 10.2.0.9/16 dev out0
    ip -n "$vm" addr add 10.2.0.1/16 dev vm0
    ip -n "$outside" link set out0 up
    ip -n "$vm" link set vm0 up
}
remove_network() {
    ip netns del "$outside"
    ip netns del "$vm"
}

# The command line of a tool.
command_of() { # TOOL
    local run=("$agent" run --user root --interface vm0 --socket "$work/agent.sock" --output "$work/records.jsonl" --format json)
    run+=(--max-flows "$max_flows")
    case $1 in
        nsgwatch) echo "${run[*]} --events start --nic-nsg $work/rules-30.json" ;;
        nsgwatch-both) echo "${run[*]} --nic-nsg $work/rules-30.json" ;;
        nsgwatch-1000-rules) echo "${run[*]} --events start --nic-nsg $work/rules-1000.json" ;;
        nsgwatch-50k-prefixes) echo "${run[*]} --events start --nic-nsg $work/rules-50k.json" ;;
        tcpdump) echo "tcpdump -i vm0 -n -w /dev/null" ;;
        tcpdump-text) echo "tcpdump -i vm0 -n" ;;
        softflowd) echo "softflowd -i vm0 -d -n 127.0.0.1:9995 -m 2000000 -c $work/softflowd.ctl" ;;
        nfpcapd) echo "nfpcapd -i vm0 -w $work/nfpcapd -t 600" ;;
        pmacctd) echo "pmacctd -f $work/pmacct.conf" ;;
    esac
}

# How many packets a tool says it has seen, from its output.
seen_by() { # TOOL
    case $1 in
        nsgwatch*) grep -o '"packets":[0-9]*' "$work/tool.out" | tail -n 1 | tr -dc 0-9 ;;
        tcpdump*) sed -n 's/^\([0-9]*\) packets\{0,1\} captured.*/\1/p' "$work/tool.out" | tail -n 1 ;;
        softflowd) sed -n 's/.*[Pp]ackets processed: \([0-9]*\).*/\1/p' "$work/statistics" | tail -n 1 ;;
        pmacctd) sed -n 's/.*received_packets=\([0-9]*\).*/\1/p' "$work/tool.out" | tail -n 1 ;;
        nfpcapd) sed -n 's/.*[Pp]ackets: *\([0-9]*\).*/\1/p;s/.*processed: *\([0-9]*\).*/\1/p' "$work/tool.out" | tail -n 1 ;;
    esac
}

start_tool() { # TOOL
    rm -rf "$work/nfpcapd" "$work/records.jsonl" "$work/stop" "$work/statistics"
    mkdir "$work/nfpcapd"
    mkfifo "$work/stop"
    : >"$work/statistics"
    # The fifo is opened for both, so that neither end waits for the other.
    exec 8<>"$work/stop"
    # shellcheck disable=SC2046
    ip netns exec "$vm" taskset -c 1 "$helper" measure $(command_of "$1") <"$work/stop" >"$work/measured" 2>"$work/tool.err" 8>&- &
    measured=$!
    sleep 1.5
}
stop_tool() { # TOOL
    [ "$1" = softflowd ] && softflowctl -c "$work/softflowd.ctl" statistics >"$work/statistics" 2>&1 || true
    echo stop >&8
    exec 8>&-
    wait "$measured" || true
    cat "$work/measured" "$work/tool.err" >"$work/tool.out"
}
# A word's value in a line of words.
value_of() { awk -v word="$1" '{ for (i = 1; i < NF; i++) if ($i == word) value = $(i + 1) } END { print value }' "$2"; }

is_installed() { # TOOL
    case $1 in
        nsgwatch* | none) true ;;
        tcpdump*) command -v tcpdump >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Runs every tool under one load, in turn, `runs` times; prints medians and the ratio to nsgwatch.
compare() { # TITLE COUNT FLOWS RATE PROTOCOL TOOL...
    local title=$1 count=$2 flows=$3 rate=$4 protocol=$5 tool
    shift 5
    : >"$work/rows"
    for ((i = 0; i < runs; i++)); do
        for tool in "$@"; do
            if ! is_installed "$tool"; then
                [ "$i" -gt 0 ] || echo "SKIPPED: $tool is not installed"
                continue
            fi
            make_network
            [ "$tool" = none ] || start_tool "$tool"
            ip netns exec "$outside" taskset -c 0 "$helper" send out0 "$count" "$flows" "$rate" "$protocol" >"$work/sent"
            if [ "$tool" = none ]; then
                echo "$tool $count 0 0 $(value_of cpu "$work/sent") $(value_of pps "$work/sent")" >>"$work/rows"
            else
                sleep 1.5
                stop_tool "$tool"
                echo "$tool $(seen_by "$tool" | grep . || echo -1) $(value_of cpu "$work/measured")" \
                    "$(value_of rss "$work/measured") $(value_of cpu "$work/sent") $(value_of pps "$work/sent")" >>"$work/rows"
            fi
            remove_network
        done
    done
    print_table "$title" "$count" "$@"
}

print_table() { # TITLE COUNT TOOL...
    printf '\n%s\n\n' "**$1** (medians of $runs)"
    echo '| tool | lost % | CPU s/Mpkt | of nsgwatch | RSS MB | sender CPU s/Mpkt | sender Mpps |'
    echo '|---|---|---|---|---|---|---|'
    shift
    awk -v count="$1" -v order="${*:2}" '
        function median(name, column,    n, i, j, t, v) {
            n = rows[name]
            for (i = 1; i <= n; i++) v[i] = cell[name, i, column] + 0
            for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        { n = ++rows[$1]; for (c = 2; c <= NF; c++) cell[$1, n, c] = $c }
        END {
            own = median("nsgwatch", 3)
            names = split(order, name, " ")
            for (i = 1; i <= names; i++) {
                tool = name[i]
                if (!(tool in rows)) continue
                seen = median(tool, 2)
                lost = seen < 0 ? "?" : sprintf("%.2f", 100 * (1 - seen / count))
                cpu = median(tool, 3)
                per = seen > 0 ? cpu / seen * 1e6 : cpu / count * 1e6
                if (tool == "none") lost = "-"
                ratio = "-"
                if (own > 0 && tool != "none") ratio = sprintf("%.2fx", cpu / own)
                printf("| %s | %s | %.3f | %s | %.1f | %.3f | %.2f |\n", tool, lost, per, ratio,
                    median(tool, 4) / 1024, median(tool, 5) / count * 1e6, median(tool, 6) / 1e6)
            }
        }' "$work/rows"
}

# Processor time of the agent for packets of flows that it knows already: what a packet costs by the number of flows
# and of rules. Start, first packets and end are left out.
known() {
    local count=3000000 flows tool agent_pid before after
    printf '\n%s\n\n' "**Known flows: CPU s/Mpkt by flows and rules**, 60 B, as fast as one core sends (medians of $runs)"
    echo '| flows | 30 rules | 1,000 rules | 50,000 prefixes | most of least |'
    echo '|---|---|---|---|---|'
    max_flows=1000000
    for flows in 1000 100000 1000000; do
        : >"$work/rows"
        for ((i = 0; i < runs; i++)); do
            for tool in nsgwatch nsgwatch-1000-rules nsgwatch-50k-prefixes; do
                make_network
                start_tool "$tool"
                agent_pid=$(pgrep -P "$measured")
                ip netns exec "$outside" taskset -c 0 "$helper" send out0 "$flows" "$flows" 0 udp >/dev/null
                sleep 1
                before=$(spent_ns "$agent_pid")
                ip netns exec "$outside" taskset -c 0 "$helper" send out0 "$count" "$flows" 0 udp >/dev/null
                sleep 0.3
                after=$(spent_ns "$agent_pid")
                stop_tool "$tool"
                [ "$(seen_by "$tool")" = $((flows + count)) ] || echo "$tool lost packets" >&2
                echo "$tool $(((after - before) / (count / 1000)))" >>"$work/rows"
                remove_network
            done
        done
        for tool in nsgwatch nsgwatch-1000-rules nsgwatch-50k-prefixes; do
            awk -v tool="$tool" '$1 == tool { print $2 }' "$work/rows" | sort -n | awk '{ cost[NR] = $1 } END { print cost[int((NR + 1) / 2)] / 1e6 }'
        done | awk -v flows="$flows" '
            { cost[NR] = $1; if (NR == 1 || $1 < least) least = $1; if ($1 > most) most = $1 }
            END { printf("| %d | %.4f | %.4f | %.4f | %.2fx |\n", flows, cost[1], cost[2], cost[3], most / least) }'
    done
    max_flows=262144
}

# Packets a second of `nsgwatch replay`, from a file in the page cache.
replay() {
    "$helper" pcap "$work/frames.pcap" 10000000 100000 >/dev/null
    cat "$work/frames.pcap" >/dev/null
    for ((i = 0; i < runs; i++)); do
        before=$(date +%s%N)
        "$agent" replay --local 10.2.0.1 --nic-nsg "$work/rules-30.json" -o json "$work/frames.pcap" >"$work/replayed" 2>/dev/null
        after=$(date +%s%N)
        [ "$(grep -o '"packets":[0-9]*' "$work/replayed" | head -n 1 | tr -dc 0-9)" = 10000000 ] || echo "packets are missing" >&2
        echo $((10000000 * 1000 / ((after - before) / 1000000)))
    done | sort -n | awk '{ rate[NR] = $1 } END { printf("\n**Replay**, 60 B, 100,000 flows: %.2f M packets/s\n", rate[int((NR + 1) / 2)] / 1e6) }'
    rm -f "$work/frames.pcap"
}

# Processor time of an agent that sees no packet for ten seconds, from the scheduler's own nanoseconds.
idle() {
    local agent_pid before after
    make_network
    start_tool nsgwatch
    agent_pid=$(pgrep -P "$measured")
    before=$(spent_ns "$agent_pid")
    sleep 10
    after=$(spent_ns "$agent_pid")
    stop_tool nsgwatch
    remove_network
    awk -v ns="$((after - before))" 'BEGIN { printf("\n**Idle**: %.4f %% of a core\n", ns / 1e10 * 100) }'
}
spent_ns() { awk '{ sum += $1 } END { printf("%.0f", sum) }' /proc/"$1"/task/*/schedstat; }

# TCP bulk transfer with segmentation offload, with and without a tap on the receiver.
iperf() {
    command -v iperf3 >/dev/null || { echo "SKIPPED: iperf3 is not installed"; return; }
    printf '\n%s\n\n' "**iperf3 TCP with TSO, 3 s** (medians of $runs)"
    echo '| tap | Gbit/s | of none | frames lost |'
    echo '|---|---|---|---|'
    : >"$work/rows"
    for ((i = 0; i < runs; i++)); do
        for tool in none nsgwatch tcpdump; do
            is_installed "$tool" || continue
            make_network
            [ "$tool" = none ] || start_tool "$tool"
            ip netns exec "$vm" taskset -c 1 iperf3 -s -1 >/dev/null 2>&1 &
            server=$!
            sleep 0.5
            ip netns exec "$outside" taskset -c 0 iperf3 -c 10.2.0.1 -t 3 -f m >"$work/iperf" 2>&1 || true
            wait "$server" || true
            lost=-
            if [ "$tool" != none ]; then
                stop_tool "$tool"
                lost=$(sed -n 's/.*"kernel_drops":\([0-9]*\).*/\1/p;s/^\([0-9]*\) packets\{0,1\} dropped by kernel.*/\1/p' "$work/tool.out" | tail -n 1)
            fi
            echo "$tool $(awk '/receiver/ { for (i = 1; i <= NF; i++) if ($i == "Mbits/sec") print $(i - 1) }' "$work/iperf") ${lost:-?}" >>"$work/rows"
            remove_network
        done
    done
    for tool in none nsgwatch tcpdump; do
        awk -v tool="$tool" '$1 == tool { print $2, $3 }' "$work/rows" | sort -n |
            awk -v tool="$tool" '{ rate[NR] = $1; if ($2 + 0 > lost) lost = $2 } END { if (NR) print tool, rate[int((NR + 1) / 2)], lost + 0 }'
    done | awk '$1 == "none" { none = $2 } { lost = $1 == "none" ? "-" : $3; printf("| %s | %.1f | %+.0f %% | %s |\n", $1, $2 / 1000, 100 * ($2 / none - 1), lost) }'
}

max_flows=262144
echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), $(date +%F)"
for load in $loads; do
    case $load in
        many)
            compare "100,000 flows, 60 B, as fast as one core sends" 2500000 100000 0 udp \
                none nsgwatch nsgwatch-both tcpdump softflowd nfpcapd pmacctd
            ;;
        million)
            max_flows=1000000
            compare "1,000,000 flows, 300k packets/s" 2000000 1000000 300000 udp nsgwatch nsgwatch-both tcpdump softflowd
            max_flows=262144
            ;;
        text) compare "1,000 flows, 50k packets/s" 200000 1000 50000 udp nsgwatch tcpdump tcpdump-text ;;
        new) compare "Every packet a new flow, 200k packets/s" 3000000 3000000 200000 syn nsgwatch nsgwatch-both tcpdump softflowd ;;
        idle) idle ;;
        iperf) iperf ;;
        known) known ;;
        replay) replay ;;
        *) echo "no load is named \`$load\`" >&2; exit 2 ;;
    esac
done
