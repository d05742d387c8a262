//! A dead man's switch: somebody outside is told again and again that samples are taken and rules evaluated. Where that ends, for whatever
//! reason, it is they who wake people.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::in_words;
use crate::watching::pulse::Pulse;
use crate::watching::rounds::now_ms;
use crate::watching::subjects::Subjects;

/// Longest time for one try.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Tries of one beat: one packet that is lost should wake nobody.
const TRIES: u32 = 3;
/// How often it is looked whether somebody wants one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(subjects: watch::Receiver<Subjects>, pulse: Arc<Pulse>) {
    let client = match reqwest::Client::builder().user_agent("mana-watch").timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(why = in_words(error), "nobody is told that mana watches"),
    };
    let (mut next, mut withheld) = (Instant::now(), false);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(beat) = subjects.borrow().elsewhere.heartbeat.clone() else { continue };
        if Instant::now() < next {
            continue;
        }
        let alive = pulse.is_alive(now_ms());
        if !alive {
            // Looked at again at once: it is due as soon as there is something to say.
            if !std::mem::replace(&mut withheld, true) {
                pulse.beats.withheld.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("no heartbeat is sent: samples are not taken, or rules not evaluated");
            }
            continue;
        }
        withheld = false;
        next = Instant::now() + beat.every;
        let mut tries = 0;
        let told = loop {
            tries += 1;
            let told = match beat.url.url() {
                Ok(url) => client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(in_words),
                Err(why) => Err(why),
            };
            match told {
                Ok(_) => break Ok(()),
                Err(why) if tries == TRIES => break Err(why),
                Err(_) => tokio::time::sleep(LOOK_EVERY * tries).await,
            }
        };
        match told {
            Ok(()) => pulse.beats.sent.fetch_add(1, Ordering::Relaxed),
            Err(why) => {
                tracing::warn!(why, tries, "a heartbeat did not arrive");
                pulse.beats.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}
