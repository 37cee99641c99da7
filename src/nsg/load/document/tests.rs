use super::*;

fn positions(node: &Node, into: &mut Vec<(u32, u32)>) {
    into.push((node.position.line, node.position.column));
    for element in node.elements().unwrap_or_default() {
        positions(element, into);
    }
    for field in node.fields().unwrap_or_default() {
        into.push((field.key_position.line, field.key_position.column));
        positions(&field.node, into);
    }
}

#[test]
fn every_value_and_key_has_its_line_and_column_in_characters() {
    let json = parse("{\n  \"é\": \"ü\", \"b\": [1, true,\n null]}", Format::Json).unwrap();
    let mut places = Vec::new();
    positions(&json, &mut places);
    let expected = [(1, 1), (2, 3), (2, 8), (2, 13), (2, 18), (2, 19), (2, 22), (3, 2)];
    assert_eq!(places, expected);

    let yaml = parse("é: ü\nb:\n  - 1\n  - 'x'\n", Format::Yaml).unwrap();
    places.clear();
    positions(&yaml, &mut places);
    assert_eq!(places, [(1, 1), (1, 1), (1, 4), (2, 1), (3, 3), (3, 5), (4, 5)]);
}

#[test]
fn plain_yaml_scalars_become_what_they_look_like() {
    let text = "a: 443\nb: Any\nc: \"443\"\nd:\ne: false\nf: 80-90\ng: ~\nh: 1.5\ni: 0x50\n";
    let root = parse(text, Format::Yaml).unwrap();
    let value = |name: &str| {
        root.fields().unwrap().iter().find(|f| f.is_named(name)).unwrap().node.value.clone()
    };
    assert_eq!(value("A"), Value::Number("443".into()));
    assert_eq!(value("b"), Value::String("Any".into()));
    assert_eq!(value("c"), Value::String("443".into()));
    assert_eq!(value("d"), Value::Null);
    assert_eq!(value("e"), Value::Bool(false));
    assert_eq!(value("f"), Value::String("80-90".into()));
    assert_eq!(value("g"), Value::Null);
    assert_eq!(value("h"), Value::Number("1.5".into()));
    assert_eq!(value("i"), Value::String("0x50".into()));
    assert!(root.get("g").is_none());
}

#[test]
fn what_is_not_plain_json_or_yaml_is_refused_at_its_place() {
    let cases = [
        (Format::Json, " \n", 1, 1, "the file is empty"),
        (Format::Yaml, "", 1, 1, "the file is empty"),
        (Format::Json, "{\n \"a\": 1,\n}", 3, 1, "key must be a string"),
        (Format::Json, "{\"a\": 1} // x", 1, 10, "trailing characters"),
        (Format::Json, "{'a': 1}", 1, 2, "key must be a string"),
        (Format::Json, "{\"é\" 1}", 1, 6, "expected `:`"),
        (Format::Json, "[01]", 1, 3, "invalid number"),
        (Format::Json, "[\"a\nb\"]", 1, 3, "control character"),
        (Format::Json, "{\"Priority\": 1,\n \"priority\": 2}", 2, 2, "stands twice"),
        (Format::Yaml, "", 1, 1, "empty"),
        (Format::Yaml, "Priority: 1\npriority: 2\n", 2, 1, "stands twice"),
        (Format::Yaml, "a: &x 1\nb: *x\n", 1, 4, "anchors"),
        (Format::Yaml, "a: !!str 1\n", 1, 4, "tags"),
        (Format::Yaml, "a:\n  <<: 1\n", 2, 3, "merge keys"),
        (Format::Yaml, "a: 1\n---\nb: 2\n", 2, 1, "second document"),
        (Format::Yaml, "[a]: 1\n", 1, 1, "key must be"),
        (Format::Yaml, "a: [1\n", 2, 1, "not YAML"),
    ];
    for (format, text, line, column, message) in cases {
        let error = parse(text, format).unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains(message), "{text:?}: {said}");
        assert_eq!(error.position, Position { line, column }, "{text:?}: {said}");
    }
}

#[test]
fn a_star_without_quotes_is_explained() {
    let error = parse("a: *\nb: 1\n", Format::Yaml).unwrap_err();
    assert_eq!(error.position.line, 1);
    assert!(format!("{error:?}").contains("in quotes"), "{error:?}");
}

#[test]
fn nesting_beyond_the_limit_is_an_error_and_never_a_stack_overflow() {
    let million = 1_000_000;
    for text in [
        "[".repeat(million),
        format!("{}{}", "[".repeat(million), "]".repeat(million)),
        "{\"a\":".repeat(million),
    ] {
        assert!(parse(&text, Format::Json).is_err());
        assert!(parse(&text, Format::Yaml).is_err());
    }
    assert!(parse(&"- ".repeat(100_000), Format::Yaml).is_err());
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for format in [Format::Json, Format::Yaml] {
        assert!(parse(&deep(MAX_DEPTH), format).is_ok(), "{format:?}");
        let error = parse(&deep(MAX_DEPTH + 1), format).unwrap_err();
        assert!(format!("{error:?}").contains("nested deeper"), "{format:?}");
    }
}

#[test]
fn brackets_inside_strings_are_not_nesting() {
    let text = format!("[\"{}\\\"{}\", \"\\\\\"]", "[".repeat(500), "{".repeat(500));
    assert!(parse(&text, Format::Json).is_ok());
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(parse("\u{feff}[]", Format::Json).unwrap().position, Position::START);
    assert_eq!(parse("\u{feff}a: 1", Format::Yaml).unwrap().position, Position::START);
}

#[test]
fn a_document_with_too_many_values_is_an_error() {
    let text = format!("[{}1]", "1,".repeat(MAX_VALUES));
    let error = parse(&text, Format::Json).unwrap_err();
    assert!(format!("{error:?}").contains("more than 2000000 values"));
    assert!(parse(&" ".repeat(3_000_000), Format::Yaml).is_err());
}
