"""Asks an agent with Azure's own client library, unmodified, over its Unix socket and over its loopback address.

Arguments: the path of the socket, the URL of the loopback address, the token, the questions as JSON. Prints the answers
as one JSON object; "unix" and "tcp" hold the same keys.
"""

import json
import sys
import urllib.parse

import requests_unixsocket
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.network import NetworkManagementClient

VM = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"


class Token:
    """The credential of somebody who has the token of the agent."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *scopes, **options):
        return AccessToken(self.token, 2**31)


def over_unix(socket):
    return NetworkManagementClient(
        Token("none"),
        "sub",
        base_url="http+unix://" + urllib.parse.quote(socket, safe=""),
        transport=RequestsTransport(session=requests_unixsocket.Session(), session_owner=False),
        authentication_policy=SansIOHTTPPolicy(),
    )


def over_tcp(url, token):
    return NetworkManagementClient(Token(token), "sub", base_url=url)


def ask(client, questions, **options):
    watchers = client.network_watchers
    verdicts = []
    for question in questions:
        body = {"targetResourceId": VM, **question}
        verdict = watchers.begin_verify_ip_flow("rg", "nw", body, **options).result()
        verdicts.append({"access": verdict.access, "ruleName": verdict.rule_name})
    profile = {
        "direction": "Inbound",
        "protocol": "TCP",
        "source": "Internet",
        "destination": "10.77.0.1",
        "destinationPort": "440-443",
    }
    body = {"targetResourceId": VM, "profiles": [profile]}
    diagnostic = watchers.begin_get_network_configuration_diagnostic("rg", "nw", body, **options).result()
    results = [result.network_security_group_result for result in diagnostic.results]
    effective = client.network_interfaces.begin_list_effective_network_security_groups("rg", "vm0", **options).result()
    group = client.network_security_groups.get("rg", "WEB", **options)
    groups = client.network_security_groups.list("rg", **options)
    try:
        client.network_security_groups.get("rg", "nothing", **options)
        missing = None
    except HttpResponseError as error:
        missing = error.error.code
    return {
        "verdicts": verdicts,
        "diagnostic": [
            {
                "access": result.security_rule_access_result,
                "rule": result.evaluated_network_security_groups[-1].matched_rule.rule_name,
            }
            for result in results
        ],
        "effective": [rule.name for each in effective.value for rule in each.effective_security_rules],
        "group": [rule.name for rule in group.security_rules + group.default_security_rules],
        "ports": group.security_rules[0].destination_port_ranges,
        "groups": [each.name for each in groups],
        "missing": missing,
    }


def main():
    socket, url, token, questions = sys.argv[1:]
    questions = json.loads(questions)
    # The library sends a token over plain HTTP only where it is told to.
    tcp = ask(over_tcp(url, token), questions, enforce_https=False)
    print(json.dumps({"unix": ask(over_unix(socket), questions), "tcp": tcp}))


main()
