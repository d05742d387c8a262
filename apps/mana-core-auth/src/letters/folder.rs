//! Letters in development: files in a folder, and a page that lists them. Nowhere else is there such a page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use kit::{Problem, clock};
use uuid::Uuid;

/// Letters that the page shows, the newest first.
const SHOWN: usize = 50;

/// Writes a letter into the folder.
pub(super) async fn put(folder: &Path, id: Uuid, text: &[u8]) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let name = format!("{}-{id}.eml", clock::now().as_millisecond());
    tokio::fs::write(folder.join(name), text).await
}

/// `GET /dev/mail`
pub(crate) fn routes(folder: PathBuf) -> Router {
    Router::new().route("/dev/mail", get(move || show(folder.clone())))
}

async fn show(folder: PathBuf) -> Response {
    match read(&folder).await {
        Ok(letters) => Html(page(&letters)).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn read(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = match tokio::fs::read_dir(folder).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    while let Some(entry) = entries.next_entry().await? {
        names.push(entry.path());
    }
    names.sort();
    let mut letters = Vec::new();
    for name in names.iter().rev().take(SHOWN) {
        letters.push(String::from_utf8_lossy(&tokio::fs::read(name).await?).into_owned());
    }
    Ok(letters)
}

fn page(letters: &[String]) -> String {
    let mut body = String::new();
    for letter in letters {
        let escaped = letter.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _written = write!(body, "<article><pre>{escaped}</pre></article>");
    }
    if letters.is_empty() {
        body.push_str("<p>No letter yet.</p>");
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Letters</title><h1>Letters</h1>{body}</html>"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_letter_says_is_text() {
        let page = super::page(&["To: <script>alert(1)</script>".to_owned()]);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }
}
