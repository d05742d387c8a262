//! E-mail by SMTP.

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::outbox::{Delivery, Failure};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// STARTTLS, and nothing is said where the server has none; usually port 587.
    StartTls,
    /// TLS from the first byte; usually port 465.
    Tls,
    /// None: to this machine only.
    Plain,
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone)]
pub struct Email {
    /// Host name of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub encryption: Encryption,
    /// Name and password.
    pub login: Option<(String, SecretString)>,
    /// Sender: `mana@example.org`, or `Mana <mana@example.org>`.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
}

impl Email {
    pub(super) async fn send(&self, delivery: &Delivery) -> Result<(), Failure> {
        let (mail, transport) = (self.mail(delivery)?, self.transport()?);
        let (all, text) = (mail.envelope(), mail.formatted());
        match transport.send_raw(all, &text).await {
            // One receiver whom the server does not know keeps nothing from the others.
            Err(error) if is_refused(&error) && all.to().len() > 1 => each(&transport, all, &text).await,
            sent => sent.map(drop).map_err(|error| failure(&error)),
        }
    }

    fn mail(&self, delivery: &Delivery) -> Result<lettre::Message, Failure> {
        let message = &delivery.message;
        let from = mailbox(&self.from)?;
        let domain = from.email.domain().to_owned();
        // The same message has the same id, so that a double is recognisable.
        let id = hex::encode(Sha256::digest(format!("{}\n{}", delivery.channel, message.key)));
        let mut mail = lettre::Message::builder()
            .message_id(Some(format!("<{}@{domain}>", &id[..40])))
            .from(from)
            .subject(message.title.replace(['\r', '\n'], " "));
        for receiver in &self.to {
            mail = mail.to(mailbox(receiver)?);
        }
        mail.body(message.plain(delivery.more)).map_err(|_error| Failure {
            why: "the mail cannot be written; are there receivers?".to_owned(),
            refused: true,
        })
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        type Smtp = AsyncSmtpTransport<Tokio1Executor>;
        let broken = |_error| Failure { why: "TLS to the mail server cannot be set up".to_owned(), refused: false };
        let builder = match self.encryption {
            Encryption::StartTls => Smtp::starttls_relay(&self.host).map_err(broken)?,
            Encryption::Tls => Smtp::relay(&self.host).map_err(broken)?,
            Encryption::Plain if is_this_machine(&self.host) => Smtp::builder_dangerous(&self.host),
            Encryption::Plain => {
                return Err(Failure { why: "mail without TLS goes to this machine only".to_owned(), refused: false });
            }
        };
        let builder = builder.port(self.port).timeout(Some(super::TIMEOUT));
        Ok(match &self.login {
            Some((name, password)) => {
                builder.credentials(Credentials::new(name.clone(), password.expose_secret().to_owned())).build()
            }
            None => builder.build(),
        })
    }
}

/// A mail for each receiver: taken where one takes it, since a message that is sent again is there twice for whoever has it.
async fn each(transport: &AsyncSmtpTransport<Tokio1Executor>, all: &Envelope, text: &[u8]) -> Result<(), Failure> {
    let (mut taken, mut failures) = (false, Vec::new());
    for receiver in all.to() {
        let one = Envelope::new(all.from().cloned(), vec![receiver.clone()]);
        let one = one.map_err(|_error| Failure { why: "the mail has no receiver".to_owned(), refused: true })?;
        match transport.send_raw(&one, text).await {
            Ok(_) => taken = true,
            Err(error) => failures.push((receiver, failure(&error))),
        }
    }
    if taken {
        for (receiver, failure) in failures {
            tracing::warn!(%receiver, why = failure.why, "one receiver of an e-mail does not get it");
        }
        return Ok(());
    }
    let worst = failures.into_iter().map(|(_, failure)| failure).min_by_key(|failure| failure.refused);
    worst.map_or(Ok(()), Err)
}

/// 55x is about receivers and content; 53x about us.
fn is_refused(error: &smtp::Error) -> bool {
    error.status().is_some_and(|code| code.to_string().starts_with("55"))
}

fn failure(error: &smtp::Error) -> Failure {
    let why = match error.status() {
        Some(code) => format!("the mail server answers {code}"),
        None if error.is_timeout() => "the mail server does not answer in time".to_owned(),
        None if error.is_tls() => "the mail server's TLS is not to be trusted".to_owned(),
        None => "the mail server cannot be talked to".to_owned(),
    };
    Failure { why, refused: is_refused(error) }
}

/// Whether a host name means this machine.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    let why = || format!("\"{address}\" is no address of e-mail");
    address.parse().map_err(|_error| Failure { why: why(), refused: false })
}
