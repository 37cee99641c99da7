//! ARM templates: what is resolved, and how what can not be is named.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nsgwatch::nsg::load::{Format, LoadError, Parsed, SourceFile, Sources, load, parse_groups};
use nsgwatch::nsg::{AddressPrefix, SecurityRule};

/// A rule with this name and priority and these destination ports; all are expressions or literals.
fn rule(name: &str, priority: &str, ports: &str) -> String {
    format!(
        r#"{{"name": "{name}", "properties": {{"description": "[reference('x').id]", "priority": {priority}, "direction": "Inbound",
        "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": {ports}}}}}"#
    )
}

fn group(name: &str, rules: &str) -> String {
    format!(
        r#"{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01", "name": "{name}",
        "location": "[resourceGroup().location]", "properties": {{"securityRules": {rules}}}}}"#
    )
}

fn template(fields: &str, resources: &str) -> String {
    format!(
        r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", {fields} "resources": {resources}}}"#
    )
}

fn parsed(text: &str) -> Parsed {
    parse_groups("t.json", text, Format::Json)
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

fn refused(text: &str) -> Vec<LoadError> {
    super::refused(text, Format::Json)
}

/// The user's rules of the only group.
fn rules(text: &str) -> Vec<SecurityRule> {
    let parsed = parsed(text);
    assert_eq!(parsed.groups.len(), 1, "{text}");
    let rules = parsed.groups.into_iter().next().unwrap().group.rules;
    rules.into_iter().filter(|rule| !rule.is_default).collect()
}

fn said(text: &str) -> Vec<(String, u16, String)> {
    let line = |rule: &SecurityRule| {
        (rule.name.clone(), rule.priority.0, rule.destination_ports.to_string())
    };
    rules(text).iter().map(line).collect()
}

fn line(name: &str, priority: u16, ports: &str) -> (String, u16, String) {
    (name.to_owned(), priority, ports.to_owned())
}

#[test]
fn parameters_variables_and_functions_are_resolved() {
    let fields = r#""parameters": {"prefix": {"type": "string", "defaultValue": "web"}, "port": {"type": "int", "defaultValue": 443},
        "isProduction": {"type": "bool", "defaultValue": true}},
        "variables": {"name": "[concat(parameters('prefix'), '-nsg')]", "priorities": {"first": 110}, "ports": ["80", "8080"]},"#;
    let rules = [
        rule(
            "[format('{0}-{1}', parameters('prefix'), toUpper('a'))]",
            "\"[variables('priorities').first]\"",
            "\"[parameters('port')]\"",
        ),
        rule("b", "\"[add(variables('priorities').first, 1)]\"", "\"[variables('ports')[1]]\""),
        rule(
            "c",
            "\"[if(parameters('isProduction'), 200, reference('x').p)]\"",
            "\"[if(equals(parameters('prefix'), 'x'), '1', '2')]\"",
        ),
        rule("[[d", "300", "\"*\"").replace("[[d", "d"),
    ];
    let text = template(
        fields,
        &format!("[{}]", group("[variables('name')]", &format!("[{}]", rules.join(",")))),
    );
    assert_eq!(parsed(&text).groups[0].group.name, "web-nsg");
    assert_eq!(
        said(&text),
        [
            line("web-A", 110, "443"),
            line("b", 111, "8080"),
            line("c", 200, "2"),
            line("d", 300, "*")
        ]
    );
}

#[test]
fn rules_stand_inside_below_and_beside_their_group() {
    let child = rule("child", "200", "\"2\"").replacen('{', "{\"type\": \"securityRules\", ", 1);
    let with_child = group("nsg", &format!("[{}]", rule("inside", "100", "\"1\""))).replacen(
        "\"properties\"",
        &format!("\"resources\": [{child}], \"properties\""),
        1,
    );
    let beside = rule("[concat('NSG', '/beside')]", "300", "\"3\"").replacen(
        '{',
        "{\"type\": \"Microsoft.Network/networkSecurityGroups/securityRules\", \"dependsOn\": [\"[resourceId('a/b', uniqueString('x'))]\"], ",
        1,
    );
    let expected = [line("inside", 100, "1"), line("child", 200, "2"), line("beside", 300, "3")];
    assert_eq!(said(&template("", &format!("[{beside}, {with_child}]"))), expected);
    let named = format!(
        r#"{{"nsg": {with_child}, "rule": {beside}, "old": {}}}"#,
        group("old", "[]").replacen('{', "{\"existing\": true, ", 1)
    );
    assert_eq!(
        said(&template("\"languageVersion\": \"2.0\",", &named)),
        expected,
        "resources by name"
    );
    let again =
        beside.replace("/beside", "/INSIDE").replace("\"priority\": 300", "\"priority\": 100");
    let exported = template("", &format!("[{with_child}, {again}]"));
    assert_eq!(
        said(&exported),
        [line("INSIDE", 100, "3"), line("child", 200, "2")],
        "as `az group export` writes it"
    );
    let stray = beside.replace("'NSG'", "'other'");
    let warnings = parsed(&template("", &format!("[{stray}, {with_child}]"))).warnings;
    assert!(
        warnings[0].to_string().contains("resources[0]") && warnings[0].message.contains("`other`"),
        "{warnings:#?}"
    );
}

#[test]
fn copy_loops_over_literal_arrays_are_run() {
    let fields = r#""variables": {"ports": [22, 443], "copy": [{"name": "names", "count": "[length(variables('ports'))]",
        "input": "[concat('r', copyIndex('names', 1))]"}]},"#;
    let one = rule(
        "[variables('names')[copyIndex('securityRules')]]",
        "\"[add(100, copyIndex('securityRules'))]\"",
        "\"[variables('ports')[copyIndex('securityRules')]]\"",
    );
    let copy = format!(
        r#"{{"copy": [{{"name": "securityRules", "count": "[length(variables('ports'))]", "input": {one}}}]}}"#
    );
    let text = template(
        fields,
        &format!("[{}]", group("nsg", "[]").replace("{\"securityRules\": []}", &copy)),
    );
    let expected = [line("r1", 100, "22"), line("r2", 101, "443")];
    assert_eq!(said(&text), expected, "a loop over a property");

    let beside = rule("[concat('nsg/r', copyIndex(1))]", "\"[add(100, copyIndex())]\"", "\"[variables('ports')[copyIndex('loop')]]\"").replacen(
        '{',
        "{\"type\": \"Microsoft.Network/networkSecurityGroups/securityRules\", \"copy\": {\"name\": \"loop\", \"count\": 2}, ",
        1,
    );
    assert_eq!(
        said(&template(fields, &format!("[{}, {beside}]", group("nsg", "[]")))),
        expected,
        "a loop over resources"
    );

    let groups = group("[format('nsg-{0}', copyIndex())]", "[]").replacen(
        '{',
        "{\"copy\": {\"name\": \"l\", \"count\": 3}, ",
        1,
    );
    let names: Vec<String> = parsed(&template("", &format!("[{groups}]")))
        .groups
        .into_iter()
        .map(|it| it.group.name)
        .collect();
    assert_eq!(names, ["nsg-0", "nsg-1", "nsg-2"]);
}

#[test]
fn a_whole_list_of_rules_may_be_a_parameter() {
    let list = format!(
        "[{}]",
        rule("a", "100", "\"1\"").replace("\"description\": \"[reference('x').id]\",", "")
    );
    let fields =
        format!(r#""parameters": {{"rules": {{"type": "array", "defaultValue": {list}}}}},"#);
    assert_eq!(
        said(&template(&fields, &format!("[{}]", group("n", "\"[parameters('rules')]\"")))),
        [line("a", 100, "1")]
    );
}

#[test]
fn nested_deployments_have_names_of_their_own_only_where_they_ask() {
    let inner = |scope: &str| {
        format!(
            r#"{{"type": "Microsoft.Resources/deployments", "name": "d", "properties": {{"mode": "Incremental",
            "expressionEvaluationOptions": {{"scope": "{scope}"}}, "parameters": {{"port": {{"value": "[parameters('outer')]"}}}},
            "template": {{"$schema": "x", "parameters": {{"port": {{"type": "int"}}, "outer": {{"type": "int", "defaultValue": 7}}}},
            "resources": [{}]}}}}}}"#,
            group("n", &format!("[{}]", rule("a", "100", "\"[parameters('port')]\"")))
        )
    };
    let fields = r#""parameters": {"outer": {"type": "int", "defaultValue": 1}, "port": {"type": "int", "defaultValue": 2}},"#;
    assert_eq!(said(&template(fields, &format!("[{}]", inner("inner")))), [line("a", 100, "1")]);
    assert_eq!(said(&template(fields, &format!("[{}]", inner("outer")))), [line("a", 100, "2")]);
}

#[test]
fn a_condition_that_is_false_leaves_a_resource_out() {
    let with = |name: &str, condition: &str| {
        group(name, "[]").replacen('{', &format!("{{\"condition\": {condition}, "), 1)
    };
    let fields = r#""parameters": {"new": {"type": "string", "defaultValue": "existing"}},"#;
    let resources = format!(
        "[{}, {}, {}]",
        with("a", "false"),
        with("b", "\"[equals(parameters('new'), 'new')]\""),
        with("c", "\"[not(equals(parameters('new'), 'new'))]\"")
    );
    let groups = parsed(&template(fields, &resources)).groups;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].group.name, "c");
}

#[test]
fn a_parameters_file_gives_values() {
    let fields = r#""parameters": {"port": {"type": "int"}},"#;
    let text = template(
        fields,
        &format!(
            "[{}]",
            group("n", &format!("[{}]", rule("a", "100", "\"[parameters('PORT')]\"")))
        ),
    );
    let values = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0", "parameters": {"Port": {"value": 8443}}}"#;
    let source = |name, text| Some(SourceFile { name, text, group: None });
    let sources = Sources {
        nic: source("t.json", &text),
        parameters: source("p.json", values),
        ..Sources::default()
    };
    let rules =
        load(&sources).unwrap_or_else(|errors| panic!("{errors:#?}")).rules.nic.unwrap().rules;
    assert_eq!(rules[0].destination_ports.to_string(), "8443");
    let errors = load(&Sources { parameters: None, ..sources }).unwrap_err();
    assert!(
        errors[0].to_string().contains("`parameters('port')` has no default value")
            || errors[0].to_string().contains("`parameters('PORT')` has no default value"),
        "{}",
        errors[0]
    );
    assert!(refused(values)[0].to_string().contains("--parameters"));
}

#[test]
fn an_application_security_group_is_known_by_its_name() {
    let groups = r#""sourceApplicationSecurityGroups": [{"id": "[resourceId('Microsoft.Network/applicationSecurityGroups', 'asg-web')]"}]"#;
    let one = rule("a", "100", "\"1\"").replace("\"sourceAddressPrefix\": \"*\"", groups);
    let rules = rules(&template("", &format!("[{}]", group("n", &format!("[{one}]")))));
    assert_eq!(rules[0].source, [AddressPrefix::ApplicationSecurityGroup("asg-web".to_owned())]);
}

#[test]
fn what_can_not_be_resolved_is_named_with_its_path_and_all_at_once() {
    let fields = r#""parameters": {"open": {"type": "string"}}, "variables": {"round": "[variables('trip')]", "trip": "[variables('round')]",
        "list": ["a"]},"#;
    let cases = [
        ("[reference('x').outputs.p.value]", "`reference(...)` can not be resolved"),
        ("[uniqueString(resourceGroup().id)]", "`uniqueString(...)` can not be resolved"),
        ("[parameters('open')]", "`parameters('open')` has no default value"),
        ("[parameters('none')]", "there is no parameter `none`"),
        ("[variables('none')]", "there is no variable `none`"),
        ("[variables('round')]", "lead to one another without an end"),
        ("[variables('list')[1]]", "there is no element `1`"),
        ("[variables('list').x]", "there is no member `x`"),
        ("[copyIndex()]", "outside of its loop"),
        ("[concat('a', createArray('b'))]", "does not take these arguments"),
        ("[concat('a'", "is not an expression"),
        ("[my.own('x')]", "`my.own(...)` can not be resolved"),
    ];
    for (expression, words) in cases {
        let expression_is_whole = expression.ends_with(']');
        let expression =
            if expression_is_whole { expression.to_owned() } else { format!("{expression}]") };
        let rules = [
            rule("a", "100", "\"1\""),
            rule("b", &format!("\"{expression}\""), &format!("\"{expression}\"")),
        ];
        let text = template(
            fields,
            &format!(
                "[{{\"type\": \"other\"}}, {}]",
                group("n", &format!("[{}]", rules.join(",")))
            ),
        );
        let errors = refused(&text);
        assert_eq!(errors.len(), 2, "{errors:#?}");
        let paths: Vec<&str> =
            errors.iter().map(|error| error.place.field.as_deref().unwrap()).collect();
        let base = "resources[1].properties.securityRules[1].properties";
        assert_eq!(paths, [format!("{base}.priority"), format!("{base}.destinationPortRange")]);
        assert!(errors[0].to_string().contains(words), "{}", errors[0]);
        assert_eq!(errors[0].place.group.as_deref(), Some("n"));
    }
}

#[test]
fn a_group_whose_name_only_the_deployment_knows_gets_a_stand_in() {
    let text = template(
        "",
        &format!("[{}]", group("[concat('nsg-', uniqueString(resourceGroup().id))]", "[]")),
    );
    let parsed = parsed(&text);
    assert_eq!(parsed.groups[0].group.name, "unnamed-1");
    assert!(
        parsed.warnings[0].to_string().contains("field `resources[0].name`"),
        "{}",
        parsed.warnings[0]
    );
}

#[test]
fn faults_of_a_resolved_rule_stand_at_their_place_in_the_template() {
    let text = template(
        "",
        &format!("[\n{}]", group("n", &format!("[\n{}]", rule("a", "99", "\"80,443\"")))),
    );
    let errors = refused(&text);
    let codes: Vec<_> = errors.iter().map(|error| error.code.unwrap()).collect();
    assert_eq!(codes, ["SecurityRuleInvalidPriority", "SecurityRuleInvalidPortRange"]);
    assert_eq!(errors[0].place.line, Some(5));
    assert_eq!(errors[0].place.rule.as_deref(), Some("a"));
}

/// What this thread alone has taken, whatever else the machine does.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[test]
fn a_template_that_multiplies_ends_in_bounded_time() {
    let doubling: Vec<String> = (1..60)
        .map(|n| format!("\"v{n}\": \"[concat(variables('v{0}'), variables('v{0}'))]\"", n - 1))
        .collect();
    let lists: Vec<String> = (1..60)
        .map(|n| {
            format!("\"l{n}\": \"[createArray(variables('l{0}'), variables('l{0}'))]\"", n - 1)
        })
        .collect();
    let fields = format!(
        r#""variables": {{"v0": "0123456789", {}, "l0": ["x"], {}}},"#,
        doubling.join(","),
        lists.join(",")
    );
    let nested = r#"{"copy": [{"name": "securityRules", "count": 800, "input": {"copy": [{"name": "x", "count": 800,
        "input": {"copy": [{"name": "y", "count": 800, "input": "[copyIndex('x')]"}]}}]}}]}"#;
    for resource in [
        group("n", "\"[variables('v59')]\""),
        group("n", "\"[variables('l59')]\""),
        group("n", "[]").replace("{\"securityRules\": []}", nested),
        group("n", "[]").replacen('{', "{\"copy\": {\"name\": \"l\", \"count\": 100000}, ", 1),
    ] {
        let start = processor_time();
        let errors = refused(&template(&fields, &format!("[{resource}]")));
        let took = processor_time().saturating_sub(start);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
}

#[test]
fn a_template_may_have_comments_and_no_other_document_may() {
    let text = template(
        "/* why\n */",
        &format!("[ // all\n{}]", group("n", "[] // none")).replace("none}}", "none\n}}"),
    );
    assert_eq!(parsed(&text).groups[0].group.name, "n");
    let errors = refused(&text.replace(']', "]]"));
    assert!(errors[0].to_string().contains("not JSON"), "{}", errors[0]);
    assert!(
        refused("{\"name\": \"n\", \"securityRules\": []} // x")[0]
            .to_string()
            .contains("not JSON")
    );
}

#[test]
fn a_deep_expression_is_refused_and_does_not_overflow_the_stack() {
    let chain: Vec<String> = (1..500)
        .map(|n| {
            format!(
                "\"v{n}\": \"[{}variables('v{}'){}]\"",
                "toLower(".repeat(20),
                n - 1,
                ")".repeat(20)
            )
        })
        .collect();
    let fields = format!(r#""variables": {{"v0": "a", {}}},"#, chain.join(","));
    let errors =
        refused(&template(&fields, &format!("[{}]", group("n", "\"[variables('v499')]\""))));
    assert!(errors[0].to_string().contains("without an end"), "{}", errors[0]);
}
