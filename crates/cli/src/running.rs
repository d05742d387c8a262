//! The control plane of a data folder, where one runs.
//!
//! A socket that accepts is not enough: one that was killed a moment ago still accepts and never answers, one that is
//! ending refuses. Only an answer counts, and what is dying is waited for, so that a command never meets it half-way.

use std::path::Path;
use std::time::{Duration, Instant};

use mana_control::api::Status;
use mana_control::client::{Client, ClientError};

use crate::operator;

/// Longest wait for a dying control plane to be gone: it has nothing left to do but to end.
const DYING_BOUND: Duration = Duration::from_secs(2);
/// Pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The status with which an ending control plane refuses.
const UNAVAILABLE: u16 = 503;

/// One that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// To ask it.
    pub(crate) client: Client,
    /// What it answered first.
    pub(crate) status: Status,
}

/// Finds it.
///
/// # Errors
/// [`ClientError::NotRunning`] where none runs, also when that was so only after a moment.
pub(crate) async fn find(data: &Path) -> Result<Running, ClientError> {
    let began = Instant::now();
    loop {
        let client = connect(data).await?;
        match client.status().await {
            Ok(status) => return Ok(Running { client, status }),
            Err(error) if is_dying(&error) && began.elapsed() < DYING_BOUND => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => return Err(error),
        }
    }
}

/// Speaks with whatever listens there, in the name of whoever typed the command.
pub(crate) async fn connect(data: &Path) -> Result<Client, ClientError> {
    let client = Client::connect(data).await?;
    Ok(match operator::speaker() {
        Some(name) => client.speaking_for(&name),
        None => client,
    })
}

fn is_dying(error: &ClientError) -> bool {
    match error {
        ClientError::Talk { .. } => true,
        ClientError::Refused(problem) => problem.status == UNAVAILABLE,
        ClientError::NotRunning { .. } | ClientError::NotNow { .. } | ClientError::Answer { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_dying_control_plane_is_none_once_it_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = mana_control::paths::control_socket(folder.path());
        let listener = UnixListener::bind(&socket).expect("bound");
        let dying = async {
            // As a killed process leaves it: `connect` and the question are accepted, the answer never comes.
            for _ in 0..3 {
                drop(listener.accept().await.expect("a connection"));
            }
            drop(listener);
        };
        let (found, ()) = tokio::join!(find(folder.path()), dying);
        assert!(matches!(found, Err(ClientError::NotRunning { .. })), "{found:?}");
    }
}
