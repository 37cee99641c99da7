# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_nsgwatch_global_optspecs
    string join \n color= h/help V/version
end

function __fish_nsgwatch_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_nsgwatch_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_nsgwatch_using_subcommand
    set -l cmd (__fish_nsgwatch_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -s V -l version -d 'Print version'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "run" -d 'Watch an interface and answer questions on the socket'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "verify" -d 'Ask what the rules say of a packet that nobody sent'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "explain" -d 'Say why the rules answer as they do, rule by rule and field by field'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "check" -d 'Check rule files: all errors at once, each with its place'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "replay" -d 'Judge the packets of capture files, and sum up by rule'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "status" -d 'Show how the running agent is doing'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "flows" -d 'List the flows that the running agent knows'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "rules" -d 'List the rules in force, what they resolve to and what they have decided'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "observe" -d 'Show the records of the running agent, as they come'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "top" -d 'Show a screen of what the running agent sees'
complete -c nsgwatch -n "__fish_nsgwatch_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -s i -l interface -d 'Interface to watch, given once for each of several; one that is not there is waited for [default: the one of the default route]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l nic-nsg -d 'Network security group of the interface: FILE, FILE#NAME where the file holds several, or `none`. A file is Azure\'s JSON, YAML with the same fields, an ARM template, or what `terraform show -json` prints' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l subnet-nsg -d 'Network security group of the subnet: FILE, FILE#NAME or `none`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l effective -d 'Effective rules (`az network nic list-effective-nsg`): the groups of subnet and interface and the admin rules, with Azure\'s own expansion of the tags. A group that is also given by itself is taken from there' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l admin-rules -d 'Security admin rules of a virtual network manager' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l nic -d 'The interface (`az network nic show`), which says of which application security groups it is a member' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l application-security-groups -d 'All members of application security groups: `group: [addresses]` in YAML or JSON, or `az network nic list`' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l parameters -d 'Values of an ARM template\'s parameters (a parameters file)' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l service-tags -d 'The published service tag file (`ServiceTags_Public_*.json`), for rules that name other tags than VirtualNetwork, Internet and AzureLoadBalancer' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l virtual-network -d 'Address space of the virtual network, peered networks included [default: the prefixes that the interface is connected to]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l internet -d 'What the tag Internet stands for, as effective rules show it [default: the public address space outside the virtual network]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l unresolved -d 'Rules that name a service tag or an application security group that nothing explains: `refuse` to load them, or load them and call packets that they might decide `undecided` [default: refuse]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l socket -d 'Unix socket to answer questions on [default: /run/nsgwatch/nsgwatch.sock]' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l listen -d 'Loopback address to answer on as well, over HTTP to whoever has the token [default: none]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l listen-token-file -d 'File with the token that clients of --listen must send; nobody but its owner and group may read it' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l user -d 'User to become where root starts the agent: it reads the rules and writes the records as this one [default: whoever used sudo, else nsgwatch where there is such a user, else nobody]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l output -d 'File to append records to; `-` is standard output [default: -]' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l format -d 'How records are written [default: text on a terminal, else json]' -r -f -a "json\t'One JSON object a line, for programs'
text\t'One aligned line, for people'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l events -d 'Which events of a flow become records: its `start`, its `end` or `both`; `observe` and `top` see the same [default: both]' -r -f -a "both\t'Its start, with the verdict, and its end, with the traffic'
start\t'Only its start'
end\t'Only its end'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l max-flows -d 'The most flows remembered at once [default: 262144]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l tcp-idle-timeout -d 'A TCP flow ends after this time without a packet [default: 240s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l udp-idle-timeout -d 'A UDP flow ends after this time without a packet [default: 30s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l other-idle-timeout -d 'Any other flow ends after this time without a packet [default: 30s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l closed-timeout -d 'A closed TCP flow is kept this long for late packets [default: 5s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l record-queue -d 'The most records waiting to be written; more are lost and counted [default: 131072]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l ring-mib -d 'Size of the capture ring in MiB; one holds about 7,000 small packets [default: 8]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l config -d 'Configuration file; flags win over it [default: /etc/nsgwatch/nsgwatch.toml, where it is there]' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l direction -d 'Which way the packet goes, seen from the VM: inbound or outbound' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l protocol -d 'tcp, udp, icmp, icmpv6, esp, ah or a protocol number' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l local -d 'The VM\'s side: `ADDRESS:PORT` or `[IPv6]:PORT`; the source port may be `*`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l remote -d 'The other side' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l batch -d 'Answer every line of a file (`-` is standard input): CSV with a header (direction, protocol, localIPAddress, localPort, remoteIPAddress, remotePort) or one JSON request a line; the answers come in the same form and order, each with the number of its line. A line that can not be answered gets an answer that says why, and the exit code is 1. Needs the rules as options' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l nic-nsg -d 'Network security group of the interface: FILE, FILE#NAME where the file holds several, or `none`. A file is Azure\'s JSON, YAML with the same fields, an ARM template, or what `terraform show -json` prints' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l subnet-nsg -d 'Network security group of the subnet: FILE, FILE#NAME or `none`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l effective -d 'Effective rules (`az network nic list-effective-nsg`): the groups of subnet and interface and the admin rules, with Azure\'s own expansion of the tags. A group that is also given by itself is taken from there' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l admin-rules -d 'Security admin rules of a virtual network manager' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l nic -d 'The interface (`az network nic show`), which says of which application security groups it is a member' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l application-security-groups -d 'All members of application security groups: `group: [addresses]` in YAML or JSON, or `az network nic list`' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l parameters -d 'Values of an ARM template\'s parameters (a parameters file)' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l service-tags -d 'The published service tag file (`ServiceTags_Public_*.json`), for rules that name other tags than VirtualNetwork, Internet and AzureLoadBalancer' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l virtual-network -d 'Address space of the virtual network, peered networks included [default: the prefixes that the interface is connected to]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l internet -d 'What the tag Internet stands for, as effective rules show it [default: the public address space outside the virtual network]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l unresolved -d 'Rules that name a service tag or an application security group that nothing explains: `refuse` to load them, or load them and call packets that they might decide `undecided` [default: refuse]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l interface -d 'Interface whose rules are asked [default: the one that has the local address, else the only one]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -s o -l output-format -d 'How to print the answer' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l rule-names -d 'How rules are named: azure (securityRules/x), diagnostics (`UserRule_x`) or bare (x)' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -l exit-code -d 'End with exit code 3 where the answer is Deny, or Undecided'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l direction -d 'Which way the packet goes, seen from the VM: inbound or outbound' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l protocol -d 'tcp, udp, icmp, icmpv6, esp, ah or a protocol number' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l local -d 'The VM\'s side: ADDRESS:PORT, IPv6 in brackets; the source port may be `*`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l remote -d 'The other side' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l nic-nsg -d 'Network security group of the interface: FILE, FILE#NAME where the file holds several, or `none`. A file is Azure\'s JSON, YAML with the same fields, an ARM template, or what `terraform show -json` prints' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l subnet-nsg -d 'Network security group of the subnet: FILE, FILE#NAME or `none`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l effective -d 'Effective rules (`az network nic list-effective-nsg`): the groups of subnet and interface and the admin rules, with Azure\'s own expansion of the tags. A group that is also given by itself is taken from there' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l admin-rules -d 'Security admin rules of a virtual network manager' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l nic -d 'The interface (`az network nic show`), which says of which application security groups it is a member' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l application-security-groups -d 'All members of application security groups: `group: [addresses]` in YAML or JSON, or `az network nic list`' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l parameters -d 'Values of an ARM template\'s parameters (a parameters file)' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l service-tags -d 'The published service tag file (`ServiceTags_Public_*.json`), for rules that name other tags than VirtualNetwork, Internet and AzureLoadBalancer' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l virtual-network -d 'Address space of the virtual network, peered networks included [default: the prefixes that the interface is connected to]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l internet -d 'What the tag Internet stands for, as effective rules show it [default: the public address space outside the virtual network]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l unresolved -d 'Rules that name a service tag or an application security group that nothing explains: `refuse` to load them, or load them and call packets that they might decide `undecided` [default: refuse]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l interface -d 'Interface whose rules are asked [default: the one that has the local address, else the only one]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -s o -l output-format -d 'How to print the answer' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l rule-names -d 'How rules are named: azure (securityRules/x), diagnostics (`UserRule_x`) or bare (x)' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -l service-tags -d 'The published service tag file, for rules that name such tags' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -l application-security-groups -d 'All members of application security groups, for rules that name such groups' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -l parameters -d 'Values of an ARM template\'s parameters (a parameters file)' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -l unresolved -d 'What becomes of rules that name a service tag or an application security group that nothing explains [default: refuse]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -s o -l output-format -d 'How to print what is found' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l nic-nsg -d 'Network security group of the interface: FILE, FILE#NAME where the file holds several, or `none`. A file is Azure\'s JSON, YAML with the same fields, an ARM template, or what `terraform show -json` prints' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l subnet-nsg -d 'Network security group of the subnet: FILE, FILE#NAME or `none`' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l effective -d 'Effective rules (`az network nic list-effective-nsg`): the groups of subnet and interface and the admin rules, with Azure\'s own expansion of the tags. A group that is also given by itself is taken from there' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l nic -d 'The interface (`az network nic show`), which says of which application security groups it is a member' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l parameters -d 'Values of an ARM template\'s parameters (a parameters file)' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l service-tags -d 'The published service tag file (`ServiceTags_Public_*.json`), for rules that name other tags than VirtualNetwork, Internet and AzureLoadBalancer' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l unresolved -d 'Rules that name a service tag or an application security group that nothing explains: `refuse` to load them, or load them and call packets that they might decide `undecided` [default: refuse]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l local -d 'Addresses of the VM, or prefixes that hold nothing else: they tell the direction of packets' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l output -d 'File to append records to; the table is printed all the same' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l format -d 'How records are written [default: text on a terminal, else json]' -r -f -a "json\t'One JSON object a line, for programs'
text\t'One aligned line, for people'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -s o -l output-format -d 'How the table is printed; as JSON it is part of the line with the counters' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l interface -d 'The interface that records name' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l max-flows -d 'The most flows remembered at once [default: 262144]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l tcp-idle-timeout -d 'A TCP flow ends after this time without a packet [default: 240s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l udp-idle-timeout -d 'A UDP flow ends after this time without a packet [default: 30s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l other-idle-timeout -d 'Any other flow ends after this time without a packet [default: 30s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l closed-timeout -d 'A closed TCP flow is kept this long for late packets [default: 5s]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l virtual-network -d 'Address space of the virtual network, peered networks included [default: the prefixes that the interface is connected to]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l internet -d 'What the tag Internet stands for, as effective rules show it [default: the public address space outside the virtual network]' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l admin-rules -d 'Security admin rules of a virtual network manager' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l application-security-groups -d 'All members of application security groups: `group: [addresses]` in YAML or JSON, or `az network nic list`' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -l records -d 'Print the records of flows in place of the table'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand status" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand status" -s o -l output-format -d 'How to print the answer' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand status" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l access -d 'Only flows with this answer: allow, deny or undecided' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l rule -d 'Only flows that this rule decided about: NAME, `securityRules/NAME`, `UserRule_NAME`, ...' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l limit -d 'The most flows to list, at most 10000' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -s o -l output-format -d 'How to print the answer' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l rule-names -d 'How rules are named: azure (securityRules/x), diagnostics (`UserRule_x`) or bare (x)' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand flows" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand rules" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand rules" -s o -l output-format -d 'How to print the answer' -r -f -a "table\t'For people'
json\t'For programs'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand rules" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand rules" -l unused -d 'Only rules that have decided nothing'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l last -d 'The newest N of the remembered records' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l since -d 'Only records from this moment on: a time as 2026-11-23T08:00:00Z, or how long ago as 5m' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l until -d 'Only records up to this moment, and end when it has passed' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l access -d 'Only flows with this answer: allow, deny or undecided' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l direction -d 'Only inbound or only outbound flows' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l protocol -d 'Only flows of tcp, udp, icmp, icmpv6, esp, ah or a protocol number' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l ip -d 'Only flows with this address, or one of this prefix, on either side' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l port -d 'Only flows with this port on either side' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l rule -d 'Only flows that this rule decided about: NAME, `securityRules/NAME`, `UserRule_NAME`, ...' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l nsg -d 'Only flows that a rule of this network security group decided about' -r
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -s o -l output-format -d 'How records are printed' -r -f -a "compact\t'One line a record, for people'
json\t'One JSON object a line, as the record file has them'
table\t'In columns, under a header'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -s f -l follow -d 'Go on with what comes'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -l not -d 'Turn the filter behind it around: `--not --port 53`'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand observe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand top" -l socket -d 'Socket of the agent' -r -F
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand top" -l color -d 'When text is coloured' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is'
always\t'Everywhere'
never\t'Nowhere'"
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "run" -d 'Watch an interface and answer questions on the socket'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "verify" -d 'Ask what the rules say of a packet that nobody sent'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "explain" -d 'Say why the rules answer as they do, rule by rule and field by field'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "check" -d 'Check rule files: all errors at once, each with its place'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "replay" -d 'Judge the packets of capture files, and sum up by rule'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "status" -d 'Show how the running agent is doing'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "flows" -d 'List the flows that the running agent knows'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "rules" -d 'List the rules in force, what they resolve to and what they have decided'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "observe" -d 'Show the records of the running agent, as they come'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "top" -d 'Show a screen of what the running agent sees'
complete -c nsgwatch -n "__fish_nsgwatch_using_subcommand help; and not __fish_seen_subcommand_from run verify explain check replay status flows rules observe top help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
