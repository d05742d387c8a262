//! An instance that says exactly what a test wants it to say, true or not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Service, read_head};

/// What a liar says when it is asked for `/lie`.
#[derive(Debug, Clone)]
pub(crate) struct Lie {
    pub(crate) says: Vec<u8>,
    pub(crate) then: Then,
}

/// What it does afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Goes on as an honest instance does.
    GoOn,
    Close,
    /// Closes so that the other side gets an error.
    Reset,
    /// Says nothing more, and stays.
    Hang,
}

impl Lie {
    pub(crate) fn new(says: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { says: says.into(), then }
    }
}

/// Answers `/lie` with a lie, and any other path with that path.
pub(crate) struct Liar {
    pub(crate) service: Service,
    lie: Arc<Mutex<Lie>>,
    late: Arc<Mutex<Vec<u8>>>,
    pub(crate) said_late: Arc<Notify>,
}

/// How long after an answer it says what it says late: the edge has its answer, and may have kept the connection.
const LATE: Duration = Duration::from_millis(30);

impl Liar {
    pub(crate) fn new(lie: Lie) -> Self {
        let (lie, late) = (Arc::new(Mutex::new(lie)), Arc::default());
        let said_late = Arc::new(Notify::new());
        let parts = (Arc::clone(&lie), Arc::clone(&late), Arc::clone(&said_late));
        let service = Service::raw(move |socket| {
            let (lie, late, said_late) = (Arc::clone(&parts.0), Arc::clone(&parts.1), Arc::clone(&parts.2));
            serve(socket, lie, late, said_late)
        });
        Self { service, lie, late, said_late }
    }

    /// Tells another lie from now on.
    pub(crate) fn now_says(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    /// Says this, too, a moment after each lie.
    pub(crate) fn says_late(&self, late: impl Into<Vec<u8>>) {
        *self.late.lock().unwrap() = late.into();
    }
}

async fn serve(mut socket: TcpStream, lie: Arc<Mutex<Lie>>, late: Arc<Mutex<Vec<u8>>>, said_late: Arc<Notify>) {
    // What it says late is not to wait until the edge says something.
    socket.set_nodelay(true).unwrap();
    while let Some(head) = read_head(&mut socket).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if path != "/lie" {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        let lie = lie.lock().unwrap().clone();
        // Whoever has seen enough closes in the middle.
        let _sent = socket.write_all(&lie.says).await;
        match lie.then {
            Then::GoOn => {
                let late = late.lock().unwrap().clone();
                if !late.is_empty() {
                    tokio::time::sleep(LATE).await;
                    let _sent = socket.write_all(&late).await;
                    said_late.notify_one();
                }
            }
            Then::Close => return,
            Then::Reset => {
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            Then::Hang => std::future::pending().await,
        }
    }
}
