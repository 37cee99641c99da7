"""What agents that ended by themselves have counted must balance: frames, and events of flows.

Reads lines, among them the summaries that agents end with; fails where one does not balance, or where there are fewer than
the argument says.
"""

import json
import sys

found = [json.loads(line) for line in sys.stdin if line.startswith("{") and "kernel_packets" in line]
for it in found:
    assert it["kernel_packets"] == it["parsed"] + it["skipped"] + it["kernel_drops"], it
    assert it["records_written"] + it["records_lost"] == 2 * it["flows"] + it["gaps"], it
shown = ("kernel_packets", "kernel_drops", "flows", "records_written", "records_lost")
for it in found:
    print({key: it[key] for key in shown})
sys.exit(len(found) < int(sys.argv[1]))
