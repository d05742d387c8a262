//! `mana edge`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use mana_edge::{AccessLog, Options};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::tracing_output;

const EXAMPLES: &str = "\
Examples:
  mana edge --config edge.json     serve this snapshot until SIGTERM or Ctrl-C
  mana edge --config edge.json --admin /run/edge.sock --access-log -
  mana edge --config edge.json --admin /run/edge.sock --replace
  kill -TERM PID                   stop accepting, finish what is in flight, end

An edge needs no control plane and no manifest: docs/EDGE.md describes the snapshot. `mana up` runs one by itself. \
It logs to standard output as JSON lines. A snapshot that cannot be served ends it with 64 before any port is opened.";

/// Runs an edge alone: a reverse proxy that serves one snapshot
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The snapshot to serve
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Unix socket on which to take new snapshots and answer metrics [default: none]
    #[arg(long, value_name = "SOCKET")]
    admin: Option<PathBuf>,

    /// Take the place of the edge that answers on --admin: it hands over its sockets, and no request is refused or cut
    #[arg(long, requires = "admin")]
    replace: bool,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", env = "MANA_EDGE_THREADS", hide_env_values = true)]
    threads: Option<NonZeroUsize>,

    /// Write a line for each request to this file; `-` is standard output [default: none]
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    tracing_output::to_stdout();
    let mut options = Options::new(&args.config);
    if let Some(socket) = &args.admin {
        options = options.admin(socket);
    }
    if args.replace {
        options = options.replace();
    }
    if let Some(threads) = args.threads {
        options = options.threads(threads);
    }
    if let Some(file) = &args.access_log {
        let to = if file.as_os_str() == "-" { AccessLog::Stdout } else { AccessLog::File(file.clone()) };
        options = options.access_log(to);
    }
    mana_edge::run(options)?;
    Ok(Exit::Ok)
}
