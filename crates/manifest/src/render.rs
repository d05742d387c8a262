//! A plan for people.

use std::fmt::Write as _;

use crate::plan::{Issuer, Plan, Run, Service};

/// The plan as text: what would run, where it answers, and what each service gets. Secrets stand in it by name.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} in {}", plan.ecosystem, plan.environment.as_str());
    let _ = writeln!(text, "  listens   {}", plan.listen);
    if let Some(tls) = &plan.tls {
        let issuer = match &tls.issuer {
            Some(Issuer::Local) => "certificates of this machine's own authority".to_owned(),
            Some(Issuer::Acme(acme)) => {
                format!("certificates ordered from {}", acme.directory.as_deref().unwrap_or("Let's Encrypt"))
            }
            None => "certificates from files".to_owned(),
        };
        let _ = writeln!(text, "  TLS       {}, {issuer}", tls.listen);
    }
    if !plan.trusted_proxies.is_empty() {
        let _ = writeln!(text, "  trusts    {} for forwarded headers", plan.trusted_proxies.join(", "));
    }
    let _ = writeln!(text, "  data      {}", plan.data.display());
    let _ = writeln!(text, "  instances get ports {}-{}", plan.instance_ports.0, plan.instance_ports.1);
    for dependency in &plan.dependencies {
        let _ = writeln!(text, "  needs     {} at {}", dependency.name, dependency.url.redacted());
    }
    for service in &plan.services {
        let _ = write!(text, "\n{}", of_service(service));
    }
    text
}

fn of_service(service: &Service) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<9} {value}");
        }
    };
    let hosts: Vec<&str> = service.hosts.iter().skip(1).map(String::as_str).collect();
    line("public", service.public_url.as_deref().unwrap_or(""));
    line("also", &hosts.join(", "));
    for (path, target) in &service.redirects {
        line("redirect", &format!("{path} → {target}"));
    }
    match &service.run {
        Run::Static { folder, .. } => line("folder", &folder.display().to_string()),
        Run::Command(command) => {
            line("internal", &format!("http://{}", command.internal));
            line("runs", &command.argv.join(" "));
            line("migrates", &command.migrate.join(" "));
            if command.instances > 1 {
                line("instances", &command.instances.to_string());
            }
        }
    }
    let needs: Vec<&str> = service.needs.iter().chain(&service.dependencies).map(String::as_str).collect();
    line("needs", &needs.join(", "));
    line("secrets", &service.secrets.join(", "));
    if let Run::Command(command) = &service.run {
        for (name, value) in &command.env {
            line("env", &format!("{name}={}", value.redacted()));
        }
    }
    format!("{} ({}, project {})\n{text}", service.name, service.kind.as_str(), service.project)
}
