//! Somebody who is told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use mana_control::paths;
use tokio::net::TcpListener;

use super::Ecosystem;

/// Bodies of the messages that came in, by key.
pub(crate) type Taken = Arc<Mutex<BTreeMap<String, Vec<serde_json::Value>>>>;

pub(crate) async fn webhook(port: u16) -> Taken {
    let taken = Taken::default();
    let seen = Arc::clone(&taken);
    let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let key = headers["idempotency-key"].to_str().expect("text").to_owned();
        assert!(headers.contains_key("mana-signature"));
        let body = serde_json::from_slice(&body).expect("JSON");
        seen.lock().expect("no panic").entry(key).or_default().push(body);
        async {}
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a port");
    tokio::spawn(async move { axum::serve(listener, app).await });
    taken
}

/// How many messages are written down as sent. One that came in and is not may come in once more, with the same key.
pub(crate) fn sent(ecosystem: &Ecosystem) -> u32 {
    let db = rusqlite::Connection::open(paths::database(&ecosystem.data())).expect("there");
    let query = "SELECT count(*) FROM outbox WHERE json_extract(delivery, '$.end') = 'sent'";
    db.query_row(query, [], |row| row.get(0)).expect("read")
}
