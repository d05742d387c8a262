//! Lets the model speak and the client listen, until one of them stops. No credits and no database here.

use ai::{Delta, Offer, Request};
use futures_util::StreamExt;

use crate::delivery::{Client, Gone};
use crate::failure::Failure;
use crate::telemetry::ModelCall;

/// How an answer ended that its reader did not wait for.
const CANCELLED: &str = "cancelled";

/// What the model said, as far as it counts.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) finish: &'static str,
    pub(crate) usage: Option<ai::Usage>,
}

/// Asks the model. Gives what is to be stored and charged, or why nothing is. Whenever this returns, the call to the
/// provider is over: returning drops it, and that closes its connection.
pub(crate) async fn speak(offer: &Offer, request: &Request, client: &Client) -> Result<Said, Failure> {
    let call = ModelCall::begin(offer);
    let said = if client.streams { stream(offer, request, client).await } else { whole(offer, request, client).await };
    call.end(&said);
    said
}

async fn whole(offer: &Offer, request: &Request, client: &Client) -> Result<Said, Failure> {
    tokio::select! {
        answer = offer.provider.complete(request) => {
            let answer = answer.map_err(Failure::Model)?;
            Ok(Said { text: answer.content, finish: answer.ending.finish.as_str(), usage: answer.ending.usage })
        }
        Gone = client.gone() => Err(Failure::ClientGone),
    }
}

async fn stream(offer: &Offer, request: &Request, client: &Client) -> Result<Said, Failure> {
    let mut deltas = tokio::select! {
        deltas = offer.provider.stream(request) => deltas.map_err(Failure::Model)?,
        Gone = client.gone() => return Err(Failure::ClientGone),
    };
    let mut text = String::new();
    loop {
        let delta = tokio::select! {
            delta = deltas.next() => delta,
            Gone = client.gone() => return cut(text, client),
        };
        match delta {
            Some(Ok(Delta::Content(piece))) => {
                text.push_str(&piece);
                if client.text(piece).await == Err(Gone) {
                    return cut(text, client);
                }
            }
            Some(Ok(Delta::End(ending))) if client.is_gone() && client.delivered_bytes() == 0 => {
                tracing::debug!(
                    finish = ending.finish.as_str(),
                    "the answer was complete, but nobody took a word of it"
                );
                return Err(Failure::ClientGone);
            }
            Some(Ok(Delta::End(ending))) => {
                return Ok(Said { text, finish: ending.finish.as_str(), usage: ending.usage });
            }
            Some(Err(error)) => return Err(Failure::Model(error)),
            None => {
                let provider = offer.provider.name().to_owned();
                return Err(Failure::Model(ai::Error::Broken { provider, reason: "it ended without an end".into() }));
            }
        }
    }
}

/// What counts when the client left: the text it was given, if any.
fn cut(mut text: String, client: &Client) -> Result<Said, Failure> {
    match client.delivered_bytes() {
        0 => Err(Failure::ClientGone),
        delivered => {
            // Pieces are delivered whole, so this is between two of them.
            text.truncate(delivered);
            Ok(Said { text, finish: CANCELLED, usage: None })
        }
    }
}
