//! Snapshots of older and newer writers. While mana is replaced, a control plane tells an edge of before what to serve, and an edge that is gone
//! back to finds what a newer one has stored.
//!
//! - What an edge does not know is refused: it may be what keeps strangers out. Whoever adds a field leaves it out of what is written unless it is
//!   used (`skip_serializing_if`), so that an older edge takes all that needs nothing new; a test holds the fields that are always written.
//! - Only below `hints` is passed over what is not known. Nothing goes there that decides who gets what, or whether anything is served at all.
//! - Whoever changes what a field means raises [`FORMAT`], and writes the new number where the new meaning is used.

use serde::Deserialize;
use serde::de::Error as _;

use super::Snapshot;

/// The newest format that this edge understands; 0, which needs not be written, is the first.
pub const FORMAT: u32 = 0;

const NEWER: &str = "what wrote it is newer than this edge: `mana up` starts the edge that came with it";

impl Snapshot {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// Where it is none, or one that this edge does not understand all of.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            format: u32,
        }
        // What is no snapshot at all is told with its place below.
        if let Ok(Head { format }) = serde_json::from_slice(json)
            && format > FORMAT
        {
            let told = format!("it is of format {format}, and this edge knows those up to {FORMAT}; {NEWER}");
            return Err(serde_json::Error::custom(told));
        }
        serde_json::from_slice(json).map_err(|error| {
            let told = error.to_string();
            let unknown = told.starts_with("unknown field") || told.starts_with("unknown variant");
            if unknown { serde_json::Error::custom(format!("{told}; unless it is misspelt, {NEWER}")) } else { error }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    /// One of each kind, with nothing that need not be written.
    fn plain() -> Value {
        let instances = json!([{"id": "i", "address": "127.0.0.1:20000"}]);
        let slot = json!({"name": "blue", "release": "v1", "weight": 100, "instances": instances});
        json!({
            "generation": 1,
            "listeners": [{"address": "127.0.0.1:8080"}],
            "routes": [
                {"name": "a", "target": {"slots": [slot]}, "limits": {"max_body_bytes": 1}, "probe": {"path": "/"},
                 "lease": {"slot": "blue", "ms": 1}},
                {"name": "b", "target": {"static": {"root": "/srv"}}},
                {"name": "c", "target": {"redirect": {"to": "https://c.test", "status": 308}}},
            ],
            "tls": {"issuer": {"acme": {"folder": "/srv"}}},
            "traces": {"endpoint": "http://127.0.0.1:4318/v1/traces"},
        })
    }

    fn read(json: &Value) -> Result<Snapshot, String> {
        Snapshot::parse(json.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    /// The names of all fields, as paths.
    fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(all) => {
                for (name, value) in all {
                    fields(value, &format!("{at}{name}."), found);
                    found.insert(format!("{at}{name}"));
                }
            }
            Value::Array(all) => all.iter().for_each(|value| fields(value, at, found)),
            _ => {}
        }
    }

    /// An edge of before refuses every field that it does not know. So this list may only get shorter: whoever sees this fail has added a field that
    /// is always written, and leaves it out unless it is used.
    #[test]
    fn what_uses_nothing_new_is_written_as_the_first_format_has_it() {
        const WRITTEN: &[&str] = &[
            "generation",
            "limits",
            "limits.drain_timeout_ms",
            "limits.handshake_timeout_ms",
            "limits.header_timeout_ms",
            "limits.idle_timeout_ms",
            "limits.max_cache_bytes",
            "limits.max_cache_object_bytes",
            "limits.max_cache_objects",
            "limits.max_concurrent_requests",
            "limits.max_connections",
            "limits.max_connections_per_address",
            "limits.max_header_bytes",
            "limits.max_headers",
            "limits.max_http2_resets",
            "limits.max_http2_streams",
            "listeners",
            "listeners.address",
            "routes",
            "routes.hosts",
            "routes.lease",
            "routes.lease.ms",
            "routes.lease.slot",
            "routes.limits",
            "routes.limits.body_idle_timeout_ms",
            "routes.limits.connect_timeout_ms",
            "routes.limits.drain_timeout_ms",
            "routes.limits.max_body_bytes",
            "routes.limits.request_timeout_ms",
            "routes.limits.response_timeout_ms",
            "routes.name",
            "routes.path",
            "routes.probe",
            "routes.probe.interval_ms",
            "routes.probe.path",
            "routes.probe.timeout_ms",
            "routes.target",
            "routes.target.redirect",
            "routes.target.redirect.keep_path",
            "routes.target.redirect.status",
            "routes.target.redirect.to",
            "routes.target.slots",
            "routes.target.slots.instances",
            "routes.target.slots.instances.address",
            "routes.target.slots.instances.id",
            "routes.target.slots.name",
            "routes.target.slots.release",
            "routes.target.slots.weight",
            "routes.target.static",
            "routes.target.static.root",
            "tls",
            "tls.issuer",
            "tls.issuer.acme",
            "tls.issuer.acme.challenge",
            "tls.issuer.acme.directory",
            "tls.issuer.acme.folder",
            "traces",
            "traces.endpoint",
            "traces.ratio",
            "trusted_proxies",
        ];
        let written = serde_json::to_value(read(&plain()).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        fields(&written, "", &mut found);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), WRITTEN);
        assert_eq!(read(&written), read(&plain()), "and read as it was");
    }

    #[test]
    fn what_is_not_known_is_refused_wherever_it_stands() {
        let places =
            ["", "/listeners/0", "/routes/0", "/routes/0/target/slots/0", "/routes/0/target/slots/0/instances/0"];
        for place in
            places.into_iter().chain(["/routes/0/limits", "/routes/0/probe", "/routes/0/lease", "/tls", "/traces"])
        {
            let mut json = plain();
            json.pointer_mut(place).unwrap()["later"] = json!(true);
            let told = read(&json).unwrap_err();
            assert!(told.contains("unknown field `later`") && told.contains("mana up"), "{place}: {told}");
        }
        let mut json = plain();
        json["routes"][0]["target"] = json!({"later": {}});
        assert!(read(&json).unwrap_err().contains("unknown variant `later`"));
        json = plain();
        json["format"] = json!(FORMAT + 1);
        json["later"] = json!(true);
        let told = read(&json).unwrap_err();
        assert!(told.contains(&format!("format {}", FORMAT + 1)) && told.contains("mana up"), "{told}");
        assert!(!read(&json!({"generation": "one"})).unwrap_err().contains("mana up"), "it is just wrong");
    }

    #[test]
    fn a_hint_that_is_not_known_is_passed_over_and_kept() {
        let mut json = plain();
        json["hints"] = json!({"later": {"anything": [1, null]}});
        let snapshot = read(&json).unwrap();
        assert_eq!(Snapshot { hints: std::collections::BTreeMap::new(), ..snapshot.clone() }, read(&plain()).unwrap());
        assert_eq!(serde_json::to_value(&snapshot).unwrap()["hints"], json["hints"]);
    }
}
