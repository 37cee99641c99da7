//! What is generated from the command line and the configuration and committed under packaging/: completions, man
//! pages, schemas. Each is what the program makes now, and real programs take it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking and says what it skips"
)]

mod committed;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap_complete::Shell;
use nsgwatch::config::RunOptions;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Value, json};

const EXIT_STATUS: &str = "\
.SH \"EXIT STATUS\"
.TP
0
Answered, or done; a Deny is an answer.
.TP
1
Something failed, or rules are not valid.
.TP
2
The command line is wrong.
.TP
3
The answer of \\fBverify \\-\\-exit\\-code\\fR is Deny or Undecided.
.TP
4
No agent can be reached.
.TP
78
The agent can not start with this configuration or these rules.
";

fn pages() -> Vec<(String, clap::Command)> {
    let mut command = nsgwatch::cli::command();
    command.build();
    let mut pages = vec![("nsgwatch".to_owned(), command.clone())];
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("nsgwatch-{}", sub.get_name());
        pages.push((name, sub.clone()));
    }
    pages
}

#[test]
fn completions_know_every_command_and_option() {
    for (shell, file) in
        [(Shell::Bash, "nsgwatch.bash"), (Shell::Zsh, "_nsgwatch"), (Shell::Fish, "nsgwatch.fish")]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut nsgwatch::cli::command(), "nsgwatch", &mut text);
        let below = format!("packaging/completions/{file}");
        committed::assert_is(&below, &String::from_utf8(text).unwrap());
        let program = shell.to_string();
        match Command::new(&program).arg("-n").arg(committed::path(&below)).output() {
            Ok(output) => {
                let complaints = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{program}: {complaints}");
            }
            Err(error) => eprintln!("SKIPPED: {program} does not look at {file}: {error}"),
        }
    }
}

#[test]
fn bash_completes_a_command() {
    let script = format!(
        "source {}; COMP_WORDS=(nsgwatch ver); COMP_CWORD=1; _nsgwatch nsgwatch ver nsgwatch; echo ${{COMPREPLY[@]}}",
        committed::path("packaging/completions/nsgwatch.bash").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "verify\n");
}

#[test]
fn man_pages_say_what_the_help_says() {
    for (name, command) in pages() {
        let mut text = Vec::new();
        let man = clap_mangen::Man::new(command).date("").source("nsgwatch").manual("nsgwatch");
        man.render(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("Examples:"), "{name}");
        committed::assert_is(&format!("packaging/man/{name}.1"), &(text + EXIT_STATUS));
    }
}

#[test]
fn the_man_page_of_the_configuration_names_every_key() {
    let options = <RunOptions as clap::Args>::augment_args(clap::Command::new("run"));
    let plain =
        |text: &str| text.replace('\\', "\\\\").replace('-', "\\-").replace("\n.", "\n\\&.");
    let mut page = ".TH NSGWATCH.TOML 5 \"\" nsgwatch\n.SH NAME\nnsgwatch.toml \\- configuration of nsgwatch\n\
        .SH DESCRIPTION\n\\fI/etc/nsgwatch/nsgwatch.toml\\fR is read by \\fBnsgwatch run\\fR. It is TOML; its keys are the long options of \
        that command, which win over it. A key that is not known is an error. Relative paths are taken from the file's own directory. \
        Options that take several values are lists; times are texts as \"4m\" or numbers of seconds.\n.SH KEYS\n"
        .to_owned();
    for argument in options.get_arguments().filter(|it| it.get_id() != "help") {
        let key = argument.get_long().unwrap();
        let help = argument.get_help().unwrap().to_string();
        write!(page, ".TP\n\\fB{}\\fR\n{}\n", plain(key), plain(&help)).unwrap();
    }
    let sample = fs::read_to_string(committed::path("packaging/nsgwatch.toml")).unwrap();
    write!(page, ".SH EXAMPLE\n.nf\n{}.fi\n", plain(&sample)).unwrap();
    page.push_str(".SH FILES\n\\fI/etc/nsgwatch/nsgwatch.toml\\fR\n.SH SEE ALSO\n.BR nsgwatch (1),\n.BR nsgwatch\\-run (1)\n");
    committed::assert_is("packaging/man/nsgwatch.toml.5", &page);
}

#[test]
fn man_reads_every_page_without_a_complaint() {
    for entry in fs::read_dir(committed::path("packaging/man")).unwrap() {
        let path = entry.unwrap().path();
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(&path);
        match man.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").output() {
            Ok(output) => {
                let complaints = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && complaints.is_empty(), "{path:?}: {complaints}");
                assert!(output.stdout.len() > 500, "{path:?}");
            }
            Err(error) => eprintln!("SKIPPED: man does not look at {}: {error}", path.display()),
        }
    }
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(committed::path("packaging/schema").join(name)).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn assert_valid(validator: &jsonschema::Validator, what: &str, value: &Value) {
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

fn sample(name: &str) -> Value {
    let text = fs::read_to_string(committed::path("rules").join(name)).unwrap();
    if Path::new(name).extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).unwrap();
    }
    let mut events = Parser::new_from_str(&text).map(|event| event.unwrap().0);
    assert!(matches!(events.nth(1), Some(Event::DocumentStart(_))));
    let first = events.next().unwrap();
    yaml(&mut events, first).unwrap()
}

/// The value that begins with an event; `None` where the event ends a list or a mapping.
fn yaml<'a>(events: &mut impl Iterator<Item = Event<'a>>, first: Event<'a>) -> Option<Value> {
    let next = |events: &mut _| -> Option<Value> {
        let first = Iterator::next(events)?;
        yaml(events, first)
    };
    match first {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            Some(text.parse::<u64>().map_or_else(|_| text.as_ref().into(), Value::from))
        }
        Event::Scalar(text, ..) => Some(text.as_ref().into()),
        Event::SequenceStart(..) => Some(std::iter::from_fn(|| next(events)).collect()),
        Event::MappingStart(..) => {
            let mut fields = serde_json::Map::new();
            while let Some(Value::String(key)) = next(events) {
                fields.insert(key, next(events)?);
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

fn rule(change: &[(&str, Value)]) -> Value {
    let mut rule = json!({"name": "a", "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443"});
    for (key, value) in change {
        if value.is_null() {
            rule.as_object_mut().unwrap().remove(*key);
        } else {
            rule[*key] = value.clone();
        }
    }
    json!({"name": "group", "securityRules": [rule]})
}

fn loads(group: &Value) -> bool {
    nsgwatch::nsg::load::parse_groups(
        "a.json",
        &group.to_string(),
        nsgwatch::nsg::load::Format::Json,
    )
    .is_ok()
}

#[test]
fn the_schema_of_rules_takes_every_sample_and_what_the_loader_takes() {
    let validator = schema("nsg-rules.schema.json");
    for name in
        ["web-tier-nic.json", "web-tier-subnet.json", "locked-down-outbound.json", "database.yaml"]
    {
        assert_valid(&validator, name, &sample(name));
    }
    for group in [
        rule(&[]),
        json!([rule(&[])]),
        json!({"value": [rule(&[])]}),
        rule(&[("protocol", json!("*")), ("direction", json!("outbound"))]),
        rule(&[("destinationPortRange", json!(443)), ("priority", json!("4096"))]),
        rule(&[("destinationPortRange", Value::Null), ("destinationPortRanges", json!(["1-2"]))]),
        rule(&[("sourcePortRanges", json!([])), ("description", json!("why"))]),
    ] {
        assert!(loads(&group), "{group}");
        assert_valid(&validator, "a group that loads", &group);
    }
}

#[test]
fn the_schema_of_rules_refuses_what_the_loader_refuses() {
    let validator = schema("nsg-rules.schema.json");
    for group in [
        rule(&[("priority", json!(99))]),
        rule(&[("priority", json!(true))]),
        rule(&[("priority", Value::Null)]),
        rule(&[("direction", json!("In"))]),
        rule(&[("access", json!("Permit"))]),
        rule(&[("protocol", json!("icmpv6"))]),
        rule(&[("destinationPortRange", json!("https"))]),
        rule(&[("destinationPortRange", json!(70000))]),
        rule(&[("destinationPortRange", Value::Null)]),
        rule(&[("sourceAddressPrefix", Value::Null)]),
        rule(&[("sourceAddresPrefix", json!("*"))]),
        rule(&[("name", Value::Null)]),
        json!({"securityRules": []}),
        json!("group"),
        json!({"name": "a", "securityRules": {}}),
    ] {
        assert!(!validator.is_valid(&group), "the schema takes {group}");
        assert!(!loads(&group), "the loader takes {group}");
    }
}

#[test]
fn the_schema_of_the_configuration_takes_the_sample_and_refuses_what_run_refuses() {
    let validator = schema("nsgwatch.toml.schema.json");
    let text = fs::read_to_string(committed::path("packaging/nsgwatch.toml")).unwrap();
    // The sample with all its keys in force.
    let all: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
        .flat_map(|line| [line, "\n"])
        .collect();
    for text in [text, all, "tcp-idle-timeout = 4\nformat = \"json\"\nmax-flows = 5\n".to_owned()] {
        let value: Value = toml::from_str(&text).unwrap();
        assert_valid(&validator, "the sample", &value);
    }
    for wrong in [
        "nicnsg = \"x\"\n",
        "max-flows = \"many\"\n",
        "format = \"xml\"\n",
        "virtual-network = \"10.0.0.0/16\"\n",
        "tcp-idle-timeout = true\n",
        "unresolved = \"maybe\"\n",
    ] {
        let value: Value = toml::from_str(wrong).unwrap();
        assert!(!validator.is_valid(&value), "{wrong}");
    }
}
