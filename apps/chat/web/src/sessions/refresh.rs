//! Gives a session's access token, exchanged for the next one when it is about to expire.
//!
//! A refresh token works once, so of all requests at that moment, over all instances, one exchanges it: the one that takes
//! the row's lease. The others go on with the token they have while it is good, else they wait for the new one. The exchange
//! runs in a task of its own: a browser that leaves must not leave the new tokens nowhere stored.

use jiff::Timestamp;
use kit::{clock, context};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use super::{BrowserId, Session, SessionError, Sessions, Tokens, entity, later};
use crate::limits::{FRESH_FOR, REFRESH_LEASE, REFRESH_LOOK, REFRESH_PATIENCE};

/// What an attempt to exchange came to.
enum Exchanged {
    Yes(Tokens),
    /// Somebody else does it, or has done it.
    Elsewhere,
}

impl Sessions {
    /// The session of a browser.
    pub(crate) async fn current(&self, id: &BrowserId) -> Result<Session, SessionError> {
        self.fresh(id, None).await
    }

    /// The session of a browser, with another token than `refused`, which a service did not take although it looked good.
    pub(crate) async fn renewed(&self, id: &BrowserId, refused: &Session) -> Result<Session, SessionError> {
        self.fresh(id, Some(refused)).await
    }

    async fn fresh(&self, id: &BrowserId, refused: Option<&Session>) -> Result<Session, SessionError> {
        let patience = Instant::now() + REFRESH_PATIENCE;
        loop {
            let now = clock::now();
            let row = self.store.find(&id.hash()).await?.ok_or(SessionError::SignedOut)?;
            let Some(tokens) = self.keys.open(id, &row).filter(|_| row.expires_at > now.as_millisecond()) else {
                self.store.remove(&row.id_hash).await?;
                return Err(SessionError::SignedOut);
            };
            let refused = refused.is_some_and(|session| same(session, &tokens));
            let left = tokens.access_expires_at.duration_since(now);
            if !refused && left.as_secs() >= FRESH_FOR.as_secs().cast_signed() {
                return Ok(session(row, tokens));
            }
            let good_still = !refused && left.is_positive();
            match self.exchange(id, row.clone(), tokens.clone(), now).await {
                Ok(Exchanged::Yes(tokens)) => return Ok(session(row, tokens)),
                Ok(Exchanged::Elsewhere) | Err(SessionError::AuthAway) if good_still => {
                    return Ok(session(row, tokens));
                }
                Ok(Exchanged::Elsewhere) if Instant::now() < patience => sleep(REFRESH_LOOK).await,
                Ok(Exchanged::Elsewhere) => return Err(SessionError::AuthAway),
                Err(error) => return Err(error),
            }
        }
    }

    async fn exchange(
        &self,
        id: &BrowserId,
        row: entity::Model,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Exchanged, SessionError> {
        if !self.store.take_lease(&row, now.as_millisecond(), later(now, REFRESH_LEASE)).await? {
            return Ok(Exchanged::Elsewhere);
        }
        let (sessions, id) = (self.clone(), id.clone());
        let work = async move { sessions.exchange_leased(&id, &row, &tokens).await }.in_current_span();
        let task = match context::current() {
            Some(context) => tokio::spawn(context.scope(work)),
            None => tokio::spawn(work),
        };
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the exchange of a session's tokens broke off");
            Err(SessionError::AuthAway)
        })
    }

    async fn exchange_leased(
        &self,
        id: &BrowserId,
        row: &entity::Model,
        tokens: &Tokens,
    ) -> Result<Exchanged, SessionError> {
        match self.auth.refresh(&tokens.refresh).await {
            Ok(next) => {
                let expires_at = next.tokens.access_expires_at.as_millisecond();
                let sealed = self.keys.seal(id, &next.tokens);
                if self.store.replace_tokens(row, sealed, expires_at, next.user.id).await? {
                    return Ok(Exchanged::Yes(next.tokens));
                }
                // Signed out while the exchange was on its way: mana-core-auth has ended that session too.
                Err(SessionError::SignedOut)
            }
            Err(failure) if failure.is_about_the_token() => {
                metrics::counter!("sessions_refused_total").increment(1);
                tracing::info!("mana-core-auth has ended a session; its browser is signed out");
                self.store.remove(&row.id_hash).await?;
                Err(SessionError::SignedOut)
            }
            Err(error) => {
                tracing::warn!(%error, "a session's tokens cannot be exchanged at the moment");
                self.store.give_lease_back(row).await?;
                Err(SessionError::AuthAway)
            }
        }
    }
}

fn same(session: &Session, tokens: &Tokens) -> bool {
    use secrecy::ExposeSecret;
    session.access.expose_secret() == tokens.access.expose_secret()
}

fn session(row: entity::Model, tokens: Tokens) -> Session {
    Session { name: row.name, email: row.email, access: tokens.access }
}
