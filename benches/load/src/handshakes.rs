//! New TLS connections, one request on each: with a full handshake, or resumed from the connection before. Each of the threads
//! keeps the tickets of its own connections, and TLS 1.3 is spoken as browsers do: X25519, a ticket used once. Certificates
//! are not checked, so that the time is the proxy's.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use serde_json::{Value, json};

use crate::answer::Head;
use crate::histogram::Histogram;
use crate::{HOST, Problem, SILENCE, Target, per_second, request};

/// Tickets a thread keeps.
const TICKETS: usize = 4;

/// With so many failures in one thread the proxy is not measured but broken.
const MOST_ERRORS: u64 = 100;

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

fn config(resume: bool) -> Result<ClientConfig, Problem> {
    let provider = CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(schemes)))
        .with_no_client_auth();
    config.resumption = if resume { Resumption::in_memory_sessions(TICKETS) } else { Resumption::disabled() };
    Ok(config)
}

/// What one thread saw.
#[derive(Default)]
struct Seen {
    full: u64,
    resumed: u64,
    errors: u64,
    last_error: Option<String>,
    times: Histogram,
}

/// A connection from its begin to its end; whether it was resumed.
fn once(target: &Target, config: &Arc<ClientConfig>, request: &[u8]) -> Result<bool, Problem> {
    let mut stream = TcpStream::connect_timeout(&target.address, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let name = ServerName::try_from(HOST)?;
    let mut session = ClientConnection::new(Arc::clone(config), name)?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(request)?;
    let (head, body) = Head::read(&mut tls)?;
    if head.status != 200 {
        return Err(format!("status {}", head.status).into());
    }
    let mut seen = body.len();
    let mut buffer = [0; 4096];
    // To the very end, so that the proxy closes first and tickets are read.
    loop {
        match tls.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => seen += read,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
    }
    if head.length != Some(seen as u64) {
        return Err(format!("{seen} bytes of {:?}", head.length).into());
    }
    Ok(session.handshake_kind() == Some(HandshakeKind::Resumed))
}

fn thread(target: &Target, resume: bool, ready: &Barrier) -> Result<Seen, Problem> {
    let request = request("GET", &target.path, "Connection: close\r\n");
    let config = config(resume).map(Arc::new);
    // The first ticket. Whoever fails here lets the others begin all the same.
    let first = config.and_then(|config| once(target, &config, request.as_bytes()).map(|_| config));
    ready.wait();
    let config = first?;
    let mut seen = Seen::default();
    let end = Instant::now() + target.duration;
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(seen);
        }
        match once(target, &config, request.as_bytes()) {
            Ok(true) => seen.resumed += 1,
            Ok(false) => seen.full += 1,
            Err(problem) => {
                seen.errors += 1;
                if seen.errors > MOST_ERRORS {
                    return Err(problem);
                }
                seen.last_error = Some(problem.to_string());
                continue;
            }
        }
        seen.times.record(begin.elapsed());
    }
}

pub(crate) fn run(target: &Target, resume: bool) -> Result<Value, Problem> {
    let ready = Barrier::new(target.connections + 1);
    let (all, elapsed) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..target.connections).map(|_| scope.spawn(|| thread(target, resume, &ready))).collect();
        ready.wait();
        let begin = Instant::now();
        let mut all = Seen::default();
        for thread in threads {
            let seen = thread.join().map_err(|_| "a thread panicked")??;
            all.full += seen.full;
            all.resumed += seen.resumed;
            all.errors += seen.errors;
            all.last_error = seen.last_error.or(all.last_error);
            all.times.add(&seen.times);
        }
        Ok::<_, Problem>((all, begin.elapsed()))
    })?;
    Ok(json!({
        "requests": all.full + all.resumed,
        "requests_per_second": per_second(all.full + all.resumed, elapsed),
        "p50_seconds": all.times.seconds_at(500),
        "p99_seconds": all.times.seconds_at(990),
        "full": all.full,
        "resumed": all.resumed,
        "errors": all.errors,
        "last_error": all.last_error,
    }))
}
