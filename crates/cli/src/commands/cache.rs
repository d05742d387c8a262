//! `mana cache`.

use clap::Subcommand;
use mana_control::paths;
use mana_edge::admin::{Client, ClientError, Purge, Purged};

use super::certificates::no_edge;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana cache purge chat.example.org                  all answers of a host
  mana cache purge chat.example.org /blog/first      one path, with any query
  mana cache purge chat.example.org '/blog/*'        all paths that begin so
  mana cache purge chat.example.org article-17       all answers that carry this tag

Tags are what a service says in Cache-Tag or Surrogate-Key. An answer that is on its way while it is purged is not kept. What answers are kept, and for how long, their own headers say: \
see docs/EDGE.md.";

/// The answers that the edge keeps
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Purge(PurgeArgs),
}

/// Forgets kept answers of a host, at once
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
struct PurgeArgs {
    /// The host, as its clients name it
    host: String,

    /// A path (with `*` at its end: all that begin so), or a tag; all of the host where absent
    #[arg(value_name = "PATH|TAG")]
    what: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let Action::Purge(args) = &args.action;
    let purge = asked(args);
    let client = Client::new(paths::edge_socket(&context.data()?));
    let purged = block_on(async { client.purge(&purge).await.map_err(|error| not_purged(context, &error)) })?;
    let mut output = context.output();
    if args.json {
        output.json(&purged)?;
    } else {
        output.line(&told(purged, &args.host))?;
    }
    Ok(Exit::Ok)
}

fn asked(args: &PurgeArgs) -> Purge {
    let (path, tag) = match &args.what {
        Some(path) if path.starts_with('/') => (Some(path.clone()), None),
        Some(tag) => (None, Some(tag.clone())),
        None => (None, None),
    };
    Purge { host: args.host.clone(), path, tag }
}

fn told(purged: Purged, host: &str) -> String {
    match purged.answers {
        0 => format!("nothing was kept of that for {host}"),
        answers => format!("{} of {host} forgotten", units::count(answers, "answer")),
    }
}

fn not_purged(context: &Context, error: &ClientError) -> Failure {
    match error {
        ClientError::Refused(refusal) => Failure::Failed {
            what: refusal.detail.clone(),
            help: "give a host, and a path that begins with `/` or a tag".to_owned(),
        },
        error => no_edge(context, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_slash_is_a_path() {
        let of = |what: Option<&str>| {
            asked(&PurgeArgs { host: "chat.localhost".into(), what: what.map(Into::into), json: false })
        };
        assert_eq!(of(Some("/blog/*")).path.as_deref(), Some("/blog/*"));
        assert_eq!(of(Some("article-17")).tag.as_deref(), Some("article-17"));
        assert_eq!(of(None), Purge { host: "chat.localhost".into(), ..Purge::default() });
    }
}
