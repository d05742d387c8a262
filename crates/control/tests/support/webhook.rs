//! Somebody who is told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use tokio::net::TcpListener;

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
