//! `nsgwatch check`: says everything that is wrong with rule files, before they are put in force.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::{OutputFormat, exit, terminal};
use crate::config::rule_files::{self, RuleFileErrors};
use crate::config::{RuleOptions, RunOptions, Settings};
use crate::nsg::load::{LoadError, LoadWarning, Unresolved};

const AFTER_HELP: &str = "\
Each error stands on a line of its own: FILE:LINE:COLUMN: rule, field: what is wrong [ARM: the code Azure answers with]. \
A file whose name ends with .toml is checked as a configuration file, together with the rule files it names.

Examples:
  nsgwatch check web-nic.json web-subnet.json
  nsgwatch check --service-tags ServiceTags_Public.json rules/*.json rules/*.yaml
  nsgwatch check all-groups.json#web
  nsgwatch check /etc/nsgwatch/nsgwatch.toml

Exit codes: 0 everything is valid (warnings included), 1 something is not, 2 wrong usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Files with rules or network interfaces, or configuration files; FILE#NAME is one group of a file
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// The published service tag file, for rules that name such tags
    #[arg(long, value_name = "FILE")]
    service_tags: Option<PathBuf>,

    /// All members of application security groups, for rules that name such groups
    #[arg(long, value_name = "FILE", value_delimiter = ',', num_args = 1..)]
    application_security_groups: Option<Vec<PathBuf>>,

    /// Values of an ARM template's parameters (a parameters file)
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,

    /// What becomes of rules that name a service tag or an application security group that nothing explains
    /// [default: refuse]
    #[arg(long, value_name = "WHAT", value_parser = clap::value_parser!(Unresolved))]
    unresolved: Option<Unresolved>,

    /// How to print what is found
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output_format: OutputFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let is_configuration =
        |file: &&String| Path::new(file).extension().is_some_and(|it| it == "toml");
    let (configurations, groups): (Vec<_>, Vec<_>) =
        arguments.files.iter().partition(is_configuration);
    let groups: Vec<String> = groups.into_iter().cloned().collect();
    let mut found = Found::default();
    let with = RuleOptions {
        service_tags: arguments.service_tags.clone(),
        application_security_groups: arguments.application_security_groups.clone(),
        parameters: arguments.parameters.clone(),
        unresolved: arguments.unresolved,
        ..RuleOptions::default()
    };
    found.add(rule_files::check(&groups, &with));
    for file in configurations {
        match Settings::load(&RunOptions::default(), Some(Path::new(file))) {
            Ok(settings) => {
                for rules in settings.rule_sets() {
                    let loaded = rule_files::load(rules, &[]);
                    found.add(loaded.map(|loaded| loaded.warnings));
                }
            }
            Err(error) => found.lines.push(error.to_string()),
        }
    }
    let valid = found.errors.is_empty() && found.lines.is_empty();
    match arguments.output_format {
        OutputFormat::Json => {
            let mut errors: Vec<_> = found.errors.iter().map(|error| json!(error)).collect();
            errors.extend(found.lines.iter().map(|line| json!({ "message": line })));
            let answer = json!({ "valid": valid, "errors": errors, "warnings": found.warnings });
            terminal::answer(&serde_json::to_string_pretty(&answer)?)?;
        }
        OutputFormat::Text => found.print(valid, arguments.files.len())?,
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// Adds what is not there yet: the rules of two interfaces may be in the same files.
fn add_new<T: PartialEq>(known: &mut Vec<T>, found: Vec<T>) {
    for one in found {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

/// What is wrong and what is unwise.
#[derive(Default)]
struct Found {
    errors: Vec<LoadError>,
    /// Errors of configuration files.
    lines: Vec<String>,
    warnings: Vec<LoadWarning>,
}

impl Found {
    fn add(&mut self, result: Result<Vec<LoadWarning>, RuleFileErrors>) {
        match result {
            Ok(warnings) => add_new(&mut self.warnings, warnings),
            Err(RuleFileErrors(errors)) => add_new(&mut self.errors, errors),
        }
    }

    fn print(&self, valid: bool, files: usize) -> anyhow::Result<()> {
        for warning in &self.warnings {
            terminal::complain(&format!("warning: {warning}"));
        }
        for error in &self.errors {
            terminal::complain(&format!("error: {error}"));
        }
        for line in &self.lines {
            terminal::complain(&format!("error: {line}"));
        }
        if valid {
            terminal::answer(&format!("{files} file{} valid", if files == 1 { "" } else { "s" }))?;
        }
        Ok(())
    }
}
