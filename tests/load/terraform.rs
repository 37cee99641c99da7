//! What `terraform show -json` prints, and source code that is not read.

use nsgwatch::nsg::load::{Format, Parsed, parse_groups};

const BLOCK: &str = r#"{"access": "Allow", "description": "", "destination_address_prefix": "*", "destination_address_prefixes": [],
    "destination_application_security_group_ids": [], "destination_port_range": "", "destination_port_ranges": ["80", "443"],
    "direction": "Inbound", "name": "web", "priority": 100, "protocol": "Tcp", "source_address_prefix": "Internet",
    "source_address_prefixes": null, "source_application_security_group_ids": [], "source_port_range": "*", "source_port_ranges": []}"#;

fn group(address: &str, name: &str, blocks: &str) -> String {
    format!(
        r#"{{"address": "{address}", "mode": "managed", "type": "azurerm_network_security_group", "name": "this",
        "values": {{"name": "{name}", "resource_group_name": "rg", "location": "westeurope", "tags": null, "security_rule": {blocks}}}}}"#
    )
}

fn rule(address: &str, group: &str, resource_group: &str) -> String {
    let values = BLOCK.replacen(
        '{',
        &format!("{{\"network_security_group_name\": \"{group}\", \"resource_group_name\": \"{resource_group}\", "),
        1,
    );
    let values = values.replace("\"web\"", "\"beside\"").replace(": 100", ": 200");
    format!(
        r#"{{"address": "{address}", "mode": "managed", "type": "azurerm_network_security_rule", "name": "r", "values": {values}}}"#
    )
}

fn state(root: &str, children: &str) -> String {
    format!(
        r#"{{"format_version": "1.0", "terraform_version": "1.9.0", "values": {{"root_module": {{"resources": [{root}],
        "child_modules": [{{"address": "module.a", "resources": [{children}]}}]}}}}}}"#
    )
}

fn parsed(text: &str) -> Parsed {
    parse_groups("x.json", text, Format::Json)
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

fn refused(text: &str) -> String {
    let errors = super::refused(text, Format::Json);
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn groups_of_all_modules_are_read_with_the_rules_beside_them() {
    let text = state(
        &format!("{}, {}", group("g", "nsg", &format!("[{BLOCK}]")), rule("r", "NSG", "rg")),
        &group("module.a.g", "other", "[]"),
    );
    let parsed = parsed(&text);
    assert_eq!(parsed.warnings, []);
    let names: Vec<&str> = parsed.groups.iter().map(|it| it.group.name.as_str()).collect();
    assert_eq!(names, ["nsg", "other"]);
    let rules = &parsed.groups[0].group.rules;
    assert_eq!(rules.len(), 8);
    assert_eq!((rules[0].name.as_str(), rules[1].name.as_str()), ("web", "beside"));
    assert_eq!(rules[0].destination_ports.to_string(), "80,443");
    assert_eq!(rules[0].source[0].to_string(), "Internet");
    let plan = text.replace("\"values\": {\"root_module\"", "\"planned_values\": {\"root_module\"");
    assert_eq!(
        parse_groups("x.json", &plan, Format::Json).unwrap(),
        parsed,
        "a plan says the same"
    );
}

#[test]
fn a_rule_for_a_group_elsewhere_is_said_and_not_used() {
    let text =
        state(&format!("{}, {}", group("g", "nsg", "[]"), rule("r", "nsg", "another-rg")), "");
    let parsed = parsed(&text);
    assert_eq!(parsed.groups[0].group.rules.len(), 6);
    assert!(parsed.warnings[0].to_string().contains("rule `beside`"), "{}", parsed.warnings[0]);
}

#[test]
fn application_security_groups_are_ids_here() {
    let block = BLOCK
        .replace("\"source_address_prefix\": \"Internet\"", "\"source_address_prefix\": \"\"")
        .replace(
            "\"source_application_security_group_ids\": []",
            "\"source_application_security_group_ids\": [\"/asgs/web\"]",
        );
    let parsed = parsed(&state(&group("g", "nsg", &format!("[{block}]")), ""));
    let references = &parsed.groups[0].references.application_security_groups;
    assert_eq!((references.len(), references[0].id.as_str()), (1, "/asgs/web"));
}

#[test]
fn values_known_only_after_apply_are_named() {
    let plan = |resources: &str, changes: &str, configuration: &str| {
        format!(
            r#"{{"format_version": "1.2", "planned_values": {{"root_module": {{"resources": [{resources}]}}}},
            "resource_changes": [{changes}], "configuration": {{"root_module": {configuration}}}}}"#
        )
    };
    let change = |address: &str, unknown: &str| {
        format!(
            r#"{{"address": "{address}", "change": {{"actions": ["create"], "after_unknown": {unknown}}}}}"#
        )
    };
    let one = group("g[0]", "nsg", &format!("[{BLOCK}]"));
    let in_block = change(
        "g[0]",
        r#"{"id": true, "security_rule": [{"source_application_security_group_ids": true, "description": true}]}"#,
    );
    let text = refused(&plan(&one, &in_block, "{}"));
    assert!(text.contains("`g[0].security_rule[0].source_application_security_group_ids`: is known only after apply"), "{text}");
    let nothing =
        change("g[0]", r#"{"id": true, "security_rule": [{"destination_port_ranges": [false]}]}"#);
    assert!(parse_groups("x.json", &plan(&one, &nothing, "{}"), Format::Json).is_ok());

    // The provider calls the rules unknown where the configuration has none inside of the group.
    let open = group("module.m[\"k.[\"].g[0]", "nsg", "null").replace("\"k.[\"", "\\\"k.[\\\"");
    let all = change("module.m[\\\"k.[\\\"].g[0]", r#"{"id": true, "security_rule": true}"#);
    let configuration = |expressions: &str| {
        format!(
            r#"{{"module_calls": {{"m": {{"module": {{"resources": [{{"address": "g", "expressions": {expressions}}}]}}}}}}}}"#
        )
    };
    let without = plan(&open, &all, &configuration(r#"{"name": {}}"#));
    assert_eq!(parsed(&without).groups[0].group.rules.len(), 6);
    let with = refused(&plan(&open, &all, &configuration(r#"{"security_rule": [{}]}"#)));
    assert!(with.contains("security_rule`: is known only after apply"), "{with}");
    let loose = plan(
        &rule("r", "nsg", "rg"),
        &change("r", r#"{"network_security_group_name": true}"#),
        "{}",
    );
    assert!(refused(&loose).contains("`r.network_security_group_name`: is known only after apply"));
}

#[test]
fn source_code_and_files_of_terraforms_own_are_refused_with_the_command_to_run() {
    for (file, text, command) in [
        (
            "net/main.bicep",
            "param x string",
            "az bicep build --file main.bicep --outfile main.json",
        ),
        ("a.bicepparam", "using 'x'", "az bicep build-params"),
        ("main.tf", "resource \"x\" \"y\" {}", "terraform show -json plan > plan.json"),
        ("a.tfplan", "PK", "terraform show -json a.tfplan"),
        (
            "terraform.tfstate",
            r#"{"version": 4, "terraform_version": "1.9.0", "serial": 3, "lineage": "x", "resources": []}"#,
            "terraform show -json",
        ),
    ] {
        let format = Format::of(file, text);
        let errors = parse_groups(file, text, format).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains(command), "{}", errors[0]);
    }
}

#[test]
fn other_documents_are_named_and_not_taken_for_groups() {
    for (text, words) in [
        (r#"{"changeNumber": 1, "values": []}"#, "--service-tags"),
        (r#"{"name": "n", "ipConfigurations": []}"#, "--nic"),
        (r#"[{"name": "r", "sources": []}]"#, "--admin-rules"),
        (r#"{"records": [{"flows": []}]}"#, "accepted are network security groups"),
        (r#"{"parameters": {}, "responses": {"200": {}}}"#, "`body`"),
        (
            r#"{"$schema": "https://example.com/buildingBlocks.json"}"#,
            "not the schema of a deployment template",
        ),
    ] {
        let said = refused(text);
        assert!(said.contains(words), "{said}");
    }
}
