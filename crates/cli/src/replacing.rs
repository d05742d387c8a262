//! Following the replacement of a service's instances to its end.

use mana_control::client::Events;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{self, Outcome};
use crate::report;
use crate::show::style::Tone;
use crate::show::units;

/// What the edge is called among services.
pub(crate) const EDGE: &str = "edge";

/// `done`: what is true then, after the service's name.
pub(crate) async fn follow(
    events: Events,
    service: &str,
    done: &str,
    json: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut output = context.output();
    match progress::follow_until_interrupted(events, json, &mut output, context).await? {
        Outcome::Settled(took) => {
            if !json {
                let name = output.style().paint(Tone::Strong, service);
                output.line(&format!("{name} {done}, after {}", units::duration(took)))?;
            }
            Ok(Exit::Ok)
        }
        Outcome::Failed(reason) => {
            Err(Failure::NotUp { reason, status: context.command("status"), down: context.command("down") })
        }
        Outcome::Interrupted => {
            report::note(&format!("it goes on in the background: `{}` shows how", context.command("status")));
            Ok(Exit::Interrupted)
        }
    }
}
