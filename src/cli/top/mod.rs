//! `nsgwatch top`: a screen of what the running agent sees, until it is told to end.
//!
//! Three parts that meet here: [`agent`] brings news, [`model`] is what they and the keys make of it, [`screen`] draws.

mod agent;
mod keys;
mod model;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use self::agent::Agent;
use self::model::Model;
use self::screen::Palette;
use super::agent_socket::AgentSocket;
use super::terminal::Color;
use super::{exit, terminal};

/// The longest time that news wait to be shown.
const REDRAW: Duration = Duration::from_millis(100);

const AFTER_HELP: &str = "\
Flows a second, verdicts over time, rules by hits, who talks most, the newest denied flows, and what was lost. Press ? \
for the keys. Works from 80x24 on, over ssh too; an agent that is away is waited for.

Examples:
  nsgwatch top
  nsgwatch top --socket /run/nsgwatch/nsgwatch.sock

Exit codes: 0 ended by a key or a signal, 1 no terminal, 2 wrong usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: AgentSocket,
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        terminal::complain("error: top needs a terminal; see `nsgwatch observe` for programs");
        return Ok(ExitCode::from(exit::FAILED));
    }
    let agent = agent::start(arguments.socket.path.clone()).context("can not ask the agent")?;
    let palette = Palette { colour: color.on_stdout() };
    // Restores the terminal when the program panics, too.
    let mut terminal = ratatui::try_init().context("can not use the terminal")?;
    let shown = show(&mut terminal, agent, palette);
    ratatui::try_restore().context("can not restore the terminal")?;
    shown.context("can not use the terminal")?;
    Ok(ExitCode::SUCCESS)
}

fn show(terminal: &mut DefaultTerminal, mut agent: Agent, palette: Palette) -> io::Result<()> {
    let mut model = Model::default();
    while !model.is_over {
        terminal.draw(|frame| screen::draw(frame, &model, palette))?;
        if event::poll(REDRAW)?
            && let Event::Key(key) = event::read()?
            && let Some(record) = keys::press(&mut model, key)
        {
            // One is asked for already: it comes, and is as good.
            _ = agent.explain.try_send(record);
        }
        while let Ok(news) = agent.news.try_recv() {
            model.take(news);
        }
    }
    Ok(())
}
