//! `nsgwatch run`: watches an interface until it is told to end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::terminal::Color;
use super::{exit, logging, terminal};
use crate::config::{self, DEFAULT_CONFIG, RunOptions, Settings};
use crate::daemon::{self, DaemonError, Reload};

const AFTER_HELP: &str = "\
Without any option the interface of the default route is watched under the six default rules of a network security \
group, with the prefixes that the interface is connected to as VirtualNetwork.

Records go to standard output, one line for each flow that begins or ends; messages go to standard error, as many as \
RUST_LOG asks for (error, warn, info, debug). SIGHUP loads the rules again and reopens the output; SIGTERM and SIGINT \
end the agent, which then prints one JSON line with its counters.

Examples:
  nsgwatch run
  nsgwatch run --interface eth0 --nic-nsg web-nic.json --subnet-nsg web-subnet.json \\
      --virtual-network 10.0.0.0/16
  nsgwatch run --nic-nsg all-groups.json#web --service-tags ServiceTags_Public.json \\
      --output flows.jsonl

Exit codes: 0 told to end, 1 failed, 2 wrong usage, 78 the configuration or the rules are refused.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: RunOptions,

    /// Configuration file; flags win over it [default: /etc/nsgwatch/nsgwatch.toml, where it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    logging::start(color);
    let config = config::file_in_use(arguments.config.clone(), Path::new(DEFAULT_CONFIG));
    let coloured_stdout = color.on_stdout();
    let reload = Reload { flags: arguments.options.clone(), config, coloured_stdout };
    let summary = Settings::load(&reload.flags, reload.config.as_deref())
        .map_err(DaemonError::from)
        .and_then(|settings| daemon::run(settings, &reload));
    match summary {
        Ok(summary) => {
            terminal::answer(&serde_json::to_string(&summary)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let code = if error.is_configuration() { exit::CONFIGURATION } else { exit::FAILED };
            for line in error.to_string().lines() {
                terminal::complain(&format!("error: {line}"));
            }
            Ok(ExitCode::from(code))
        }
    }
}
