//! TLS of one environment: where it is accepted, and where certificates come from.

use std::net::SocketAddr;
use std::path::Path;

use crate::document::EnvironmentTable;
use crate::plan::{Acme, Environment, Issuer, Tls};
use crate::problem::Problem;

/// From the plain port to TLS's where the plain one is not 80: as far as from 80 to 443.
const DISTANCE: u16 = 443 - 80;

pub(super) fn resolve(
    table: &EnvironmentTable,
    environment: Environment,
    listen: SocketAddr,
    extra_offset: u16,
    root: &Path,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let default = if environment == Environment::Development { "off" } else { "acme" };
    let mode = table.tls.as_ref().map_or(default, |tls| tls.value.as_str());
    unused(table, mode, problems);
    if mode == "off" {
        return None;
    }
    if let Some(scheme) = table.scheme.as_ref().filter(|scheme| scheme.value != "https") {
        problems.push(
            Problem::error(scheme.span.clone(), format!("scheme is \"{}\", but the edge speaks TLS", scheme.value))
                .help("remove scheme, or write tls = \"off\""),
        );
    }
    let declared = table.tls_listen.as_ref().map(|listen| listen.value);
    let address = match declared {
        Some(address) => address.port().checked_add(extra_offset).map(|port| SocketAddr::new(address.ip(), port)),
        None => listen.port().checked_add(DISTANCE).map(|port| SocketAddr::new(listen.ip(), port)),
    };
    let Some(address) = address.filter(|address| *address != listen) else {
        let span = table.tls_listen.as_ref().and_then(|listen| listen.span.clone());
        problems.push(
            Problem::error(span, format!("there is no port for TLS beside {listen}"))
                .help("write tls_listen with an address of its own, such as \"0.0.0.0:443\""),
        );
        return None;
    };
    let mut certificates = Vec::new();
    for (name, files) in &table.certificates {
        match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => certificates.push((root.join(&certificate.value), root.join(&key.value))),
            _ => problems.push(
                Problem::error(name.span.clone(), format!("certificates.{} is incomplete", name.value))
                    .help("write both certificate and key, each a PEM file"),
            ),
        }
    }
    let issuer = match mode {
        "local" => Some(Issuer::Local),
        "acme" => Some(Issuer::Acme(Acme {
            email: table.acme.email.as_ref().map(|email| email.value.clone()),
            directory: table.acme.directory.as_ref().map(|directory| directory.value.clone()),
            in_handshake: table.acme.challenge.as_ref().is_some_and(|challenge| challenge.value == "tls-alpn-01"),
            roots: table.acme.roots.as_ref().map(|roots| root.join(&roots.value)),
        })),
        _ => None,
    };
    let http3 = table.http3.as_ref().is_some_and(|http3| http3.value);
    Some(Tls { listen: address, public_port: address.port(), http3, certificates, issuer })
}

/// Settings that have no effect are mistakes.
fn unused(table: &EnvironmentTable, mode: &str, problems: &mut Vec<Problem>) {
    let acme = [&table.acme.email, &table.acme.directory, &table.acme.challenge, &table.acme.roots];
    if let Some(setting) = acme.into_iter().flatten().next().filter(|_| mode != "acme") {
        problems.push(
            Problem::error(setting.span.clone(), format!("acme has no effect, since tls is \"{mode}\""))
                .help("remove it, or write tls = \"acme\""),
        );
    }
    if let Some((name, _)) = table.certificates.first().filter(|_| mode == "off") {
        problems.push(
            Problem::error(name.span.clone(), "certificates have no effect, since tls is \"off\"")
                .help("remove them, or write tls = \"files\""),
        );
    }
    if let Some(http3) = table.http3.as_ref().filter(|http3| http3.value && mode == "off") {
        problems.push(
            Problem::error(http3.span.clone(), "http3 has no effect, since tls is \"off\"")
                .help("remove it, or write tls = \"acme\", \"local\" or \"files\""),
        );
    }
    if let Some(listen) = table.tls_listen.as_ref().filter(|_| mode == "off") {
        problems.push(
            Problem::error(listen.span.clone(), "tls_listen has no effect, since tls is \"off\"")
                .help("remove it, or write tls = \"acme\", \"local\" or \"files\""),
        );
    }
}
