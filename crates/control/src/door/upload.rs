//! A release from another machine.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use mana_release::store::MOST_BUNDLE_BYTES;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::person::{Action, Person};
use crate::api::Uploaded;
use crate::passing::Passing;
use crate::paths;
use crate::server::{App, Refused, ask, problem};
use crate::supervisor::Call;

pub(super) async fn release(
    State(app): State<App>,
    person: Person,
    Path(service): Path<String>,
    body: Body,
) -> Result<Response, Refused> {
    person.require(Action::Deploy)?;
    let store = ask(&app, |reply| Call::Releases { service, reply }).await?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Refused(problem(507, "the release cannot be kept", format!("{what}: {error}")))
    };
    let folder = paths::builds(&app.data);
    // It is taken in only when all of it is here.
    let (arriving, file) = Passing::make(&folder).map_err(failed("making its file"))?;
    let mut file = File::from_std(file);
    let (mut body, mut size) = (body.into_data_stream(), 0);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Refused(problem(400, "the release broke off", error.to_string())))?;
        size += piece.len() as u64;
        if size > MOST_BUNDLE_BYTES {
            return Err(Refused(problem(
                413,
                "the release is too large",
                format!("at most {MOST_BUNDLE_BYTES} bytes"),
            )));
        }
        file.write_all(&piece).await.map_err(failed("writing it"))?;
    }
    file.flush().await.map_err(failed("writing it"))?;
    let unpacked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(arriving.path()).map_err(|error| error.to_string())?;
        let release =
            store.unpack(std::io::BufReader::new(file)).map_err(|error| match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })?;
        Ok(Uploaded { id: release.id(), digest: release.digest.to_string() })
    });
    let unpacked =
        unpacked.await.map_err(|error| Refused(problem(500, "the release cannot be kept", error.to_string())))?;
    let uploaded = unpacked.map_err(|why: String| Refused(problem(422, "this is no release", why)))?;
    tracing::info!(release = uploaded.id, by = person.name, "a release arrived");
    Ok(Json(uploaded).into_response())
}
