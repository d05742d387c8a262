//! One of them, asked again and again over the connection that it keeps.

use tokio::sync::Mutex;

use super::{Outside, What, plain, postgres, redis, sqlite};

/// What a round gave.
#[derive(Debug)]
pub(in super::super) enum Reading {
    Postgres(Box<postgres::Read>),
    Redis(redis::Read),
    /// It answers.
    Well(std::time::Duration),
    Sqlite(sqlite::Read),
    /// It does not, and why.
    Down(String),
}

/// One of them, and its connection. Whose turn it is is for the schedule, which never asks twice at once.
pub(in super::super) struct Session {
    pub(in super::super) outside: Outside,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    postgres: Option<postgres::Connection>,
    redis: Option<redis::Connection>,
    client: Option<reqwest::Client>,
    sqlite: sqlite::Kept,
}

impl Session {
    pub(in super::super) fn new(outside: Outside) -> Self {
        Self { outside, kept: Mutex::default() }
    }

    /// Asks. Whatever does not answer in time loses its connection.
    pub(in super::super) async fn ask(&self) -> Reading {
        let mut kept = self.kept.lock().await;
        let asked = tokio::time::timeout(self.outside.timeout, self.asked(&mut kept)).await;
        let why = match asked {
            Ok(Ok(reading)) => return reading,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {:?}", self.outside.timeout),
        };
        (kept.postgres, kept.redis) = (None, None);
        Reading::Down(why)
    }

    async fn asked(&self, kept: &mut Kept) -> Result<Reading, String> {
        match &self.outside.what {
            What::Postgres { url, databases } => {
                // One that was closed meanwhile says nothing of the server: it is asked anew.
                if let Some(connection) = kept.postgres.as_mut().filter(|connection| connection.is_open())
                    && let Ok(read) = connection.ask().await
                {
                    return Ok(Reading::Postgres(Box::new(read)));
                }
                kept.postgres = None;
                let mut connection = postgres::connect(url, databases).await?;
                let read = connection.ask().await?;
                kept.postgres = Some(connection);
                Ok(Reading::Postgres(Box::new(read)))
            }
            What::Redis { url } => {
                if let Some(connection) = &mut kept.redis
                    && let Ok(read) = connection.ask().await
                {
                    return Ok(Reading::Redis(read));
                }
                kept.redis = None;
                let mut connection = redis::connect(url).await?;
                let read = connection.ask().await?;
                kept.redis = Some(connection);
                Ok(Reading::Redis(read))
            }
            What::Http { url, status } => {
                let client = match &kept.client {
                    Some(client) => client,
                    None => kept.client.insert(plain::client(url, self.outside.timeout)?),
                };
                Ok(Reading::Well(plain::http(client, url, *status).await?))
            }
            // What it said to a message says more than that it can be reached.
            What::Channel { refusing: Some(why), .. } => Err(why.clone()),
            What::Channel { server: None, .. } => Err("nothing is known of its server".to_owned()),
            What::Tcp { host, port } | What::Channel { server: Some((host, port)), .. } => {
                Ok(Reading::Well(plain::tcp(host, *port).await?))
            }
            What::Sqlite { file, .. } => {
                let (file, mut known) = (file.clone(), kept.sqlite.clone());
                let looked = tokio::task::spawn_blocking(move || (sqlite::look(&file, &mut known), known)).await;
                let (read, known) = looked.map_err(|error| error.to_string())?;
                kept.sqlite = known;
                Ok(Reading::Sqlite(read?))
            }
        }
    }
}
