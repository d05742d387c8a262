//! How letters leave: by SMTP, or, in development, into a folder.

use std::path::PathBuf;
use std::time::Duration;

use kit::config::{Base, Env, Environment, Error};
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// Longest wait for the mail server, for each step.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of letters.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) way: Way,
    /// `MAIL_FROM`
    from: Mailbox,
    /// `APP_URL`: where the pages are that letters lead to.
    pub(crate) app_url: String,
}

/// Where letters go.
#[derive(Clone)]
pub(crate) enum Way {
    /// Nowhere: nothing is configured.
    None,
    /// Into files of this folder.
    Folder(PathBuf),
    /// To a mail server.
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
}

impl Mail {
    /// `SMTP_URL` (`smtps://NAME:PASSWORD@HOST`, or `smtp://…?tls=required`). Without it letters go into `MAIL_FOLDER` in
    /// development, or the folder `mail` beside SQLite's file, and nowhere else.
    pub(crate) fn read(env: &Env, base: &Base, issuer: &str) -> Result<Self, Error> {
        let invalid = |name: &str, value: String, allowed: &str| Error::Invalid {
            name: name.into(),
            value,
            allowed: allowed.into(),
        };
        let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or("localhost");
        let from = env.optional("MAIL_FROM").unwrap_or_else(|| format!("no-reply@{host}"));
        let parsed = from.parse().map_err(|_| invalid("MAIL_FROM", from, "an e-mail address, or NAME <ADDRESS>"))?;
        let app_url = env.optional("APP_URL").unwrap_or_else(|| issuer.to_owned());
        let way = match env.optional("SMTP_URL") {
            Some(url) => {
                let allowed = "smtps://NAME:PASSWORD@HOST or smtp://NAME:PASSWORD@HOST?tls=required; without TLS to this machine only";
                let wrong = || Error::InvalidSecret { name: "SMTP_URL".into(), allowed: allowed.into() };
                if !is_safe(&url) {
                    return Err(wrong());
                }
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| wrong())?;
                Way::Smtp(Box::new(builder.timeout(Some(TIMEOUT)).build()))
            }
            None if base.environment == Environment::Development => folder(env, base).map_or(Way::None, Way::Folder),
            None => Way::None,
        };
        Ok(Self { way, from: parsed, app_url: app_url.trim_end_matches('/').to_owned() })
    }

    /// Whether letters go anywhere.
    pub(crate) fn can_send(&self) -> bool {
        !matches!(self.way, Way::None)
    }

    /// Sends a letter. An error says why in words without secrets.
    pub(crate) async fn send(&self, id: Uuid, to: &str, subject: &str, text: String) -> Result<(), String> {
        let to: Mailbox = to.parse().map_err(|_| "the receiver is no e-mail address".to_owned())?;
        let domain = self.from.email.domain().to_owned();
        let message = Message::builder()
            // The same letter has the same id, so that a double is recognisable.
            .message_id(Some(format!("<{}@{domain}>", id.simple())))
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .body(text)
            .map_err(|error| format!("the letter cannot be written: {error}"))?;
        match &self.way {
            Way::None => Err("no way to send letters is configured (SMTP_URL)".to_owned()),
            Way::Folder(folder) => super::folder::put(folder, id, &message.formatted())
                .await
                .map_err(|error| format!("the letter cannot be put into {}: {error}", folder.display())),
            Way::Smtp(transport) => transport.send(message).await.map(drop).map_err(|error| match error.status() {
                Some(code) => format!("the mail server answers {code}"),
                None if error.is_timeout() => "the mail server does not answer in time".to_owned(),
                None if error.is_tls() => "the mail server's TLS is not to be trusted".to_owned(),
                None => "the mail server cannot be talked to".to_owned(),
            }),
        }
    }
}

/// What goes to another machine is protected on its way.
fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("smtp://") else { return url.starts_with("smtps://") };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let local = host == "localhost" || host.starts_with("localhost:") || host.starts_with("127.0.0.1");
    local || url.ends_with("?tls=required")
}

fn folder(env: &Env, base: &Base) -> Option<PathBuf> {
    if let Some(folder) = env.optional("MAIL_FOLDER") {
        return Some(folder.into());
    }
    let url = base.database_url.as_ref()?.expose_secret();
    let file = url.strip_prefix("sqlite://")?.split('?').next()?;
    Some(PathBuf::from(file).parent()?.join("mail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_for_mail_never_travels_in_the_clear() {
        for (url, safe) in [
            ("smtps://a:b@mail.example.org", true),
            ("smtp://a:b@mail.example.org?tls=required", true),
            ("smtp://a:b@mail.example.org", false),
            ("smtp://a:b@mail.example.org?tls=opportunistic", false),
            ("smtp://localhost:1025", true),
            ("smtp://127.0.0.1:1025", true),
            ("smtp://localhost@evil.example", false),
            ("http://localhost", false),
        ] {
            assert_eq!(is_safe(url), safe, "{url}");
        }
    }
}
