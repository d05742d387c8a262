//! Where spans go, by the variables that OpenTelemetry has for it.
//!
//! | variable | what it says |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where spans are posted, as it stands there |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | the same without `/v1/traces` |
//! | `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS` | headers: `name=value,…`, percent-encoded |
//! | `OTEL_SERVICE_NAME` | the service's name, else `MANA_SERVICE` |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | nowhere |
//!
//! They are sent over HTTP in JSON, whatever `OTEL_EXPORTER_OTLP_PROTOCOL` says: every collector that takes OTLP over HTTP takes both forms.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::config::{Env, Error};

/// Where spans go, and in whose name.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) endpoint: Url,
    pub(super) headers: HeaderMap,
    pub(super) service: String,
    pub(super) instance: Option<String>,
}

impl Settings {
    /// Reads them; `None`: nowhere.
    pub fn read(env: &Env, service: &str, instance: Option<&str>) -> Result<Option<Self>, Error> {
        let says = |name: &str, word: &str| env.optional(name).is_some_and(|text| text.eq_ignore_ascii_case(word));
        if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let allowed = "an http:// or https:// address of a collector";
        let (name, endpoint) = match env.parsed::<Url>("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", allowed)? {
            Some(endpoint) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint),
            None => match env.parsed::<Url>("OTEL_EXPORTER_OTLP_ENDPOINT", allowed)? {
                Some(mut base) => {
                    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
                    base.set_path(&path);
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", base)
                }
                None => return Ok(None),
            },
        };
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(Error::Invalid { name: name.into(), value: endpoint.to_string(), allowed: allowed.into() });
        }
        let mut headers = HeaderMap::new();
        for name in ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] {
            // The special one counts, and not both.
            let Some(text) = env.optional(name) else { continue };
            let allowed = "headers such as authorization=Bearer%20TOKEN";
            headers = read_headers(&text)
                .ok_or_else(|| Error::InvalidSecret { name: name.into(), allowed: allowed.into() })?;
            break;
        }
        let service = env.optional("OTEL_SERVICE_NAME").unwrap_or_else(|| service.to_owned());
        Ok(Some(Self { endpoint, headers, service, instance: instance.map(str::to_owned) }))
    }
}

fn read_headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        headers.insert(name.trim().parse::<HeaderName>().ok()?, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Settings>, Error> {
        Settings::read(&Env::table(pairs.iter().copied()), "chat", Some("blue-1"))
    }

    #[test]
    fn the_usual_variables_say_where_spans_go() {
        const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const EXACT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        for (pairs, endpoint) in [
            (&[][..], None),
            (&[(BASE, "http://127.0.0.1:4318")], Some("http://127.0.0.1:4318/v1/traces")),
            (&[(BASE, "https://a.b/otlp/")], Some("https://a.b/otlp/v1/traces")),
            (&[(EXACT, "http://a.b/spans"), (BASE, "http://c.d")], Some("http://a.b/spans")),
            (&[(BASE, "http://a.b"), ("OTEL_SDK_DISABLED", "true")], None),
            (&[(BASE, "http://a.b"), ("OTEL_TRACES_EXPORTER", "none")], None),
        ] {
            let settings = read(pairs).unwrap();
            assert_eq!(settings.map(|settings| settings.endpoint.to_string()).as_deref(), endpoint, "{pairs:?}");
        }
        assert!(read(&[(BASE, "ftp://a.b")]).is_err());
        assert!(read(&[(BASE, "nonsense")]).is_err());
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let at = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.b");
        let settings = read(&[at, ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2, x-a=b")]).unwrap();
        let settings = settings.unwrap();
        assert_eq!(
            (&settings.headers["authorization"], &settings.headers["x-a"]),
            (&HeaderValue::from_static("Bearer hunter2"), &HeaderValue::from_static("b"))
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
        let wrong = read(&[at, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).unwrap_err();
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    }
}
