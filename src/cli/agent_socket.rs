//! The option that says which agent is asked, the same for every command that asks one.

use std::path::PathBuf;

use crate::config::DEFAULT_SOCKET;

/// Where the agent listens.
#[derive(Debug, clap::Args)]
pub(super) struct AgentSocket {
    /// Socket of the agent
    #[arg(long = "socket", value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(super) path: PathBuf,
}
