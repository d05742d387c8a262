//! A line that can be cut: TCP connections are passed on until they are broken, all at once.

use axum::Router;
use axum::routing::post;
use kit::testing::Running;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The line.
pub(crate) struct Wire {
    /// Where it begins: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    cuts: watch::Sender<u64>,
}

impl Wire {
    pub(crate) async fn to(url: &str) -> Self {
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cuts = watch::Sender::new(0);
        let cut = cuts.clone();
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), cut.subscribe()));
            }
        });
        Self { url, cuts }
    }

    /// Breaks all connections; new ones are made as before.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// An address at which others have it cut, by a POST.
    pub(crate) async fn control(&self) -> Running {
        let cuts = self.cuts.clone();
        let cut = post(move || async move { cuts.send_modify(|cuts| *cuts += 1) });
        Running::start(Router::new().route("/", cut)).await
    }
}

async fn pass(mut near: TcpStream, target: String, mut cut: watch::Receiver<u64>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = cut.changed() => {}
    }
}
