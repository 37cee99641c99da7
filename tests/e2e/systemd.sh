#!/usr/bin/env bash
# Boots a real systemd in a container, installs the package there and proves by effect what the unit promises.
#
# Usage: tests/e2e/systemd.sh PACKAGE.deb      (root; about a minute)
#
# The container's root is an overlay over this machine's own one, its network a namespace made here: nothing outside
# is changed, and everything is removed at the end. `register=no` and `nsenter` stand for machined and machinectl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=$(readlink -f "${1:?usage: systemd.sh PACKAGE.deb}")
work=$(mktemp -d -t nsgwatch-e2e.XXXXXX)
id=${work##*.}
namespace=nsgw$id
outside=h$id
passed=0 failed=0 leader='' container=''

clean_up() {
    set +e
    [ -n "$leader" ] && kill -s SIGRTMIN+4 "$leader" 2>/dev/null
    if [ -n "$container" ]; then
        within 8 gone "$container" || kill -9 "$container"
        wait "$container" 2>/dev/null
    fi
    ip link del "$outside" 2>/dev/null
    ip netns del "$namespace" 2>/dev/null
    umount "$work/root" "$work/upper" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT

# --- what the checks are made of -----------------------------------------------------------------------------------
ok() { passed=$((passed + 1)); echo "ok    $*"; }
bad() { failed=$((failed + 1)); echo "FAIL  $*"; }
is() { if [ "$2" = "$3" ]; then ok "$1: $2"; else bad "$1: $2, and not $3"; fi; }
holds() { local what=$1; shift; if "$@" >"$work/said" 2>&1; then ok "$what"; else bad "$what"; fi; }
within() { local seconds=$1; shift; for _ in $(seq $((seconds * 10))); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; return 1; }
gone() { ! kill -0 "$1" 2>/dev/null; }
inside() { nsenter -t "$leader" -m -u -i -n -p -C -- "$@"; }
property() { inside systemctl show nsgwatch -p "$1" --value; }
journal() { inside journalctl -u nsgwatch --no-pager -o cat -b; }
# `grep -q` would end before it has read everything, and whoever writes to it would fail of that.
says() { grep -iE -- "$1" >/dev/null; }
journal_has() { journal | says "$1"; }
state_is() { [ "$(property ActiveState)" = "$1" ]; }
restarted_since() { [ "$(property NRestarts)" -gt "$1" ] && state_is active; }
verify() { inside nsgwatch verify --direction inbound --protocol tcp --local 10.77.0.2:"$1" --remote 203.0.113.7:50000; }
answers() { verify "$1" | says "$2"; }
write() { inside sh -c "cat > '$1'"; }
send_datagrams() { for _ in $(seq "$1"); do echo x >/dev/udp/10.77.0.2/9 || true; done 2>/dev/null; }
records() { inside sh -c 'cat /var/log/nsgwatch/*.jsonl' 2>/dev/null; }
captured() { inside nsgwatch status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["interfaces"][0]["kernel"]["packets"])'; }
captures() {
    local before
    before=$(captured)
    send_datagrams 5
    within 5 eval "[ \"\$(captured)\" -ge $((before + 5)) ]"
}
records_have() { records | says "$1"; }
summaries_balance() { journal | python3 "$here/balance.py" "$1"; } # least number of summaries
# Of the inheritable ones the unit's system call filter lets nobody take anything away; they are worth nothing to a
# process that gains nothing from any program.
threads_with_capabilities() {
    inside sh -c "cat /proc/$(property MainPID)/task/*/status" | grep -E '^Cap(Eff|Prm|Amb):' | grep -vc '0000000000000000' || true
}
# Stops one thread of the agent as a debugger would, until the process is gone.
hold_thread() { # name
    inside python3 - "$(property MainPID)" "$1" <<'PYTHON'
import ctypes, os, sys
process, name = sys.argv[1:]
tasks = f"/proc/{process}/task"
thread = next(int(task) for task in os.listdir(tasks) if open(f"{tasks}/{task}/comm").read().strip() == name)
PTRACE_ATTACH, WALL = 16, 0x40000000
if ctypes.CDLL(None).ptrace(PTRACE_ATTACH, thread, 0, 0):
    sys.exit(f"can not hold thread {thread}")
os.waitpid(thread, WALL)
while True:
    _, status = os.waitpid(thread, WALL)
    if not os.WIFSTOPPED(status):
        break
PYTHON
}

rules() { # allowed port
    cat <<JSON
{ "name": "web", "properties": { "securityRules": [
  { "name": "allow-it", "properties": { "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
    "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "$1" } },
  { "name": "deny-discard", "properties": { "priority": 110, "direction": "Inbound", "access": "Deny", "protocol": "Udp",
    "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "9" } }
] } }
JSON
}

is_up() {
    leader=$(ps --ppid "$container" -o pid= | tr -d ' ' | head -1)
    [ -n "$leader" ] && inside sh -c 'systemctl is-system-running | grep -E "running|degraded"'
}

# --- a machine -----------------------------------------------------------------------------------------------------
boot() {
    mkdir -p "$work/upper" "$work/root"
    mount -t tmpfs tmpfs "$work/upper"
    mkdir "$work/upper/changes" "$work/upper/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper/changes,workdir=$work/upper/work" "$work/root"
    install -D -m644 "$package" "$work/root/opt/nsgwatch.deb"
    ip netns add "$namespace"
    ip link add "$outside" type veth peer name host0 netns "$namespace"
    ip addr add 10.77.0.1/24 dev "$outside"
    ip link set "$outside" up
    ip -n "$namespace" addr add 10.77.0.2/24 dev host0
    ip -n "$namespace" link set host0 up
    ip -n "$namespace" link set lo up
    setsid systemd-nspawn -D "$work/root" --boot --machine="$namespace" \
        --network-namespace-path="/run/netns/$namespace" --register=no --keep-unit --console=read-only \
        systemd.log_target=journal systemd.firstboot=no </dev/null >"$work/boot.log" 2>&1 &
    container=$!
    # Asked of systemd itself: what it says on the console may be lost when the login prompt takes that over.
    if ! within 120 is_up; then
        tail -20 "$work/boot.log"
        echo "FAIL  systemd did not boot"
        exit 1
    fi
    ok "booted $(inside systemctl --version | head -1)"
}

# --- the story -----------------------------------------------------------------------------------------------------
installing() {
    inside env DEBIAN_FRONTEND=noninteractive dpkg -i /opt/nsgwatch.deb >"$work/dpkg.log" 2>&1 || {
        cat "$work/dpkg.log"
        bad "the package does not install"
        exit 1
    }
    ok "the package installs"
    holds "its group is there" inside getent group nsgwatch
    holds "nothing restarts in a loop before it is configured" test "$(property NRestarts)" = 0
    write /etc/nsgwatch/nsgwatch.toml <<'TOML'
interface = "host0"
nic-nsg = "/etc/nsgwatch/web.json"
TOML
}

refusing_bad_rules_once() {
    echo '{ "name": "web", "properties": { "securityRules": [ { "name": "x" ] } }' | write /etc/nsgwatch/web.json
    inside systemctl stop nsgwatch 2>/dev/null || true
    inside systemctl reset-failed nsgwatch 2>/dev/null || true
    if inside systemctl start nsgwatch 2>/dev/null; then bad "starts with bad rules"; else ok "does not start with bad rules"; fi
    sleep 4
    is "it is not tried again" "$(property ActiveState)/$(property NRestarts)" failed/0
    is "exit status" "$(property ExecMainStatus)" 78
    holds "the journal names file and line" within 5 journal_has 'web\.json:[0-9]+:[0-9]+'
    inside systemctl reset-failed nsgwatch
}

starting() {
    rules 80 | write /etc/nsgwatch/web.json
    inside systemctl start nsgwatch || { bad "does not start"; journal | tail -20; exit 1; }
    ok "start returned when the agent was ready"
    holds "the socket answers at once" answers 80 allow
    is "type" "$(property Type)" notify
    local status
    status=$(inside cat "/proc/$(property MainPID)/status")
    is "threads that hold a capability" "$(threads_with_capabilities)" 0
    is "NoNewPrivs" "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' <<<"$status")" 1
    is "seccomp mode" "$(sed -n 's/^Seccomp:[[:space:]]*//p' <<<"$status")" 2
    holds "it is not root" test "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' <<<"$status")" -ne 0
    is "exposure" "$(inside systemd-analyze security --no-pager nsgwatch | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')" 1.2
}

judging() {
    send_datagrams 20
    holds "denied datagrams are in the records, with their rule" within 5 records_have deny-discard
    holds "port 80 is allowed" answers 80 allow
    holds "port 81 is denied" answers 81 deny
    holds "denials are in the journal with their own fields" within 5 inside sh -c \
        'journalctl -u nsgwatch -b -o json | grep -q "\"NSGWATCH_RULE\":\"[^\"]*deny-discard"'
}

asking() {
    inside useradd --system --no-create-home --groups nsgwatch asker
    inside useradd --system --no-create-home stranger
    local question='nsgwatch verify --direction inbound --protocol tcp --local 10.77.0.2:80 --remote 10.77.0.1:50000'
    holds "a member of the group may ask" inside setpriv --reuid asker --init-groups $question
    if inside setpriv --reuid stranger --init-groups $question >/dev/null 2>"$work/refusal"; then
        bad "a stranger may ask"
    else
        ok "a stranger may not ask: $(head -c 120 "$work/refusal")"
    fi
}

reloading() {
    rules 443 | write /etc/nsgwatch/web.json
    inside systemctl reload nsgwatch
    holds "new rules are in force after a reload" within 5 answers 443 allow
    echo '{' | write /etc/nsgwatch/web.json
    inside systemctl reload nsgwatch || true
    holds "a bad reload says where the error is" within 5 journal_has 'old ones stay in force'
    holds "the old rules stay in force" answers 443 allow
    rules 443 | write /etc/nsgwatch/web.json
}

surviving() {
    local restarts
    restarts=$(property NRestarts)
    inside kill -ABRT "$(property MainPID)"
    holds "a crash is followed by a restart" within 15 restarted_since "$restarts"
    holds "it answers again" within 5 answers 443 allow
    inside mkdir -p /etc/systemd/system/nsgwatch.service.d
    printf '[Service]\nWatchdogSec=5\n' | write /etc/systemd/system/nsgwatch.service.d/short.conf
    inside systemctl daemon-reload
    inside systemctl restart nsgwatch
    sleep 11
    holds "a healthy agent outlives its watchdog" state_is active
    is "restarts of the healthy agent" "$(property NRestarts)" 0
    inside kill -STOP "$(property MainPID)"
    holds "a hung agent is restarted" within 20 restarted_since 0
    holds "by the watchdog" within 5 journal_has 'Watchdog timeout'
    # The capture alone, and then the control loop, which is the first thread.
    local thread
    for thread in capture nsgwatch; do
        restarts=$(property NRestarts)
        hold_thread $thread &
        holds "an agent whose thread $thread alone hangs is restarted" within 20 restarted_since "$restarts"
        wait $!
    done
    holds "it captures again" captures
    outliving_the_journal
    inside rm -r /etc/systemd/system/nsgwatch.service.d
    inside systemctl daemon-reload
    inside systemctl restart nsgwatch
    # Of the one that was restarted in peace before, and of the one that outlived the journal.
    holds "the counters of agents that ended by themselves balance" within 10 summaries_balance 2
}

# Longer than the watchdog's patience, and with more messages than the journal's socket takes.
outliving_the_journal() {
    local agent restarts journald
    agent=$(property MainPID) restarts=$(property NRestarts)
    journald=$(inside pidof systemd-journald)
    inside kill -STOP "$journald"
    for _ in $(seq 100); do
        inside kill -HUP "$agent"
        sleep .08
    done
    is "while the journal hangs the same agent goes on" "$(property MainPID)/$(property NRestarts)" "$agent/$restarts"
    holds "it answers" answers 443 allow
    holds "it captures" captures
    inside kill -CONT "$journald"
    holds "what was left out is told" within 10 journal_has 'messages found no room in the journal'
}

stopping() {
    send_datagrams 10
    sleep .5
    inside systemctl stop nsgwatch
    is "stop" "$(property Result)/$(property ExecMainStatus)" success/0
    holds "flows that were open were written at the end" within 5 records_have shutdown
    holds "its counters balance" within 5 summaries_balance 3
    holds "every line of the records is whole" inside sh -c \
        'cat /var/log/nsgwatch/*.jsonl | python3 -c "import json,sys; [json.loads(l) for l in sys.stdin]"'
}

activating() {
    inside systemctl start nsgwatch.socket
    is "the agent waits for a question" "$(property ActiveState)" inactive
    holds "the first question of a member of the group starts it" inside setpriv --reuid asker --init-groups \
        nsgwatch verify --direction inbound --protocol tcp --local 10.77.0.2:443 --remote 10.77.0.1:50000
    holds "it runs" state_is active
    is "threads that hold a capability" "$(threads_with_capabilities)" 0
    inside systemctl restart nsgwatch
    holds "it answers on the same socket after a restart" answers 443 allow
    inside systemctl stop nsgwatch.socket nsgwatch
    holds "the socket goes with its unit" inside sh -c '! test -e /run/nsgwatch/nsgwatch.sock'
}

leaving() {
    inside systemctl start nsgwatch
    inside env DEBIAN_FRONTEND=noninteractive dpkg -i --force-confold /opt/nsgwatch.deb >"$work/dpkg.log" 2>&1 \
        && ok "the package installs over itself" || { cat "$work/dpkg.log"; bad "upgrade"; }
    holds "the agent runs after an upgrade" within 10 state_is active
    holds "the configuration was kept" inside grep -q host0 /etc/nsgwatch/nsgwatch.toml
    inside env DEBIAN_FRONTEND=noninteractive dpkg -r nsgwatch >"$work/dpkg.log" 2>&1 && ok "the package is removed" || bad "remove"
    holds "the agent is stopped" within 5 inside sh -c '! pgrep -x nsgwatch'
    holds "the configuration is still there" inside test -f /etc/nsgwatch/nsgwatch.toml
    inside env DEBIAN_FRONTEND=noninteractive dpkg -P nsgwatch >"$work/dpkg.log" 2>&1 && ok "the package is purged" || bad "purge"
    local left
    left=$(inside sh -c 'ls -d /usr/bin/nsgwatch /etc/nsgwatch/nsgwatch.toml /usr/lib/systemd/system/nsgwatch.service \
        /lib/systemd/system/nsgwatch.service /etc/systemd/system/multi-user.target.wants/nsgwatch.service 2>/dev/null' || true)
    is "files left after a purge" "${left:-none}" none
}

boot
installing
refusing_bad_rules_once
starting
judging
asking
reloading
surviving
stopping
activating
leaving
echo "systemd: $passed passed, $failed failed"
if [ "$failed" -ne 0 ]; then
    [ -n "$leader" ] && inside journalctl -u nsgwatch --no-pager -b | tail -40
    exit 1
fi
