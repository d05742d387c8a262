//! `mana logs`.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;
use crate::show::log_line;
use crate::show::style::{Style, Tone};
use crate::terminal::Output;

mod follow;
mod merge;
mod request;
mod sources;
mod wanted;

use sources::Source;
use wanted::Wanted;

const EXAMPLES: &str = "\
Examples:
  mana logs chat-backend           its last lines
  mana logs chat-backend -f        and what it writes from now on, until Ctrl-C
  mana logs chat-backend chat-web --tail 20
                                   several services, in the order of time
  mana logs                        all of them
  mana logs control                the control plane; `edge` is the edge
  mana logs access -f --search 'status=502'
                                   requests as the edge answered them, those that say so
  mana logs --level warn --since 1h
                                   what went wrong lately, anywhere
  mana logs --request 0190b2b4-aaaa-7bbb-8ccc-0123456789ab
                                   one request: its lines, and what services did for it
  mana logs chat-backend --raw | jq -r 'select(.level == \"ERROR\")'

The log files are read, across rotations, so this works whether or not anything runs. On a terminal JSON lines are shown as \
time, level, message and fields; --raw, a pipe or a file gets them as they were written. Among some 20,000 lines of each log is \
looked for what is asked for.";

/// Lines shown where `--tail` does not say otherwise: a screen or two.
const DEFAULT_LINES: usize = 100;

/// Shows what services have written to their logs
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which ones; `access` (requests at the edge), `edge` and `control` too [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,

    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// Last lines of each log
    #[arg(long, short = 'n', value_name = "N", default_value_t = DEFAULT_LINES)]
    tail: usize,

    /// Print lines as they were written, without prefixes
    #[arg(long)]
    raw: bool,

    /// Only lines that have each of these words somewhere; `key=value` is a word, too
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,

    /// Only lines that matter so much or more: trace, debug, info, warn, error
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,

    /// Only lines since then: a time such as 2026-01-02T03:04 in UTC, or how long ago, such as 15m
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Only lines of this request or trace; without --follow with what services did for it, as they say
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let data = context.data()?;
    let wanted = Wanted::new(args)?;
    let sources = sources::find(&data, &args.services, context)?;
    let mut printer = Printer::new(args, &sources, context);
    if args.follow {
        return block_on(follow::run(args, &wanted, &data, sources, &mut printer));
    }
    if let Some(id) = &args.request {
        return request::show(id, &wanted, &data, &sources, &mut printer);
    }
    if sources.is_empty() {
        report::note(&format!("nothing was written yet; a log begins with the first `{}`", context.command("up")));
    }
    let mut lines = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let tail = wanted.tail(source, args.tail).map_err(unreadable(&source.path))?;
        lines.push((index, tail));
    }
    for (index, line) in merge::by_time(lines) {
        printer.print(&sources[index], &line)?;
    }
    Ok(Exit::Ok)
}

fn unreadable(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path: PathBuf = path.to_owned();
    move |source| Failure::File { what: "read", path, source }
}

/// How lines are printed: raw or for people, with the name of their log where there are several.
struct Printer {
    output: Output,
    pretty: bool,
    /// Width of the longest label; 0: no labels.
    label_width: usize,
    zone: TimeZone,
}

impl Printer {
    fn new(args: &Args, sources: &[Source], context: &Context) -> Self {
        let output = context.output();
        let labelled = !args.raw && (sources.len() > 1 || args.services.len() != 1);
        let label_width = sources.iter().map(|source| source.label.len()).max().filter(|_| labelled).unwrap_or(0);
        let pretty = !args.raw && output.abilities.terminal;
        Self { output, pretty, label_width, zone: TimeZone::system() }
    }

    fn print(&mut self, source: &Source, line: &str) -> Result<(), Failure> {
        let style = self.output.style();
        let text = if self.pretty { log_line::pretty(line, style, &self.zone) } else { line.to_owned() };
        if self.label_width == 0 {
            self.output.line(&text)?;
        } else {
            let label = label(&source.label, self.label_width, source.colour, style);
            self.output.line(&format!("{label} {text}"))?;
        }
        Ok(())
    }
}

/// The name of a log before its lines, each log in a colour of its own.
fn label(label: &str, width: usize, colour: usize, style: Style) -> String {
    const TONES: [Tone; 4] = [Tone::Name, Tone::Good, Tone::Care, Tone::Strong];
    style.paint(TONES[colour % TONES.len()], &format!("{label:<width$} │"))
}
