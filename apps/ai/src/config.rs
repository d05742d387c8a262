//! Reads which providers there are from the environment, and says everything that is wrong with it at once.
//!
//! | variable | for | default |
//! |---|---|---|
//! | `AI_PROVIDERS` | which: `azure`, `openai`, `echo`, separated by commas; the first one's first model is the default | required |
//! | `AI_PRICES` | credits an answer, or by tokens: `gpt-4o-mini=1,gpt-4o=in:0.5/1k,out:1.5/1k,max=20,*=2` | `*=1` |
//! | `AI_FALLBACKS` | whom to ask when a model does not answer: `gpt-4o>gpt-4o-mini>local,a>b` | none |
//! | `AI_RETRIES` | further calls to the same model, 0 to 5 | 2 |
//! | `AI_BREAKER_FAILURES` | failures in a row after which a model is not asked for a while | 10 |
//! | `AI_CONCURRENCY` | calls at once by model: `gpt-4o=64,*=1024` | `*=1024` |
//! | `AI_QUEUE` | calls that may wait for a place, for each model | 1024 |
//! | `AI_TIMEOUT_CONNECT_MS`, `…_FIRST_BYTE_MS`, `…_BETWEEN_TOKENS_MS`, `…_TOTAL_MS` | see [`crate::timeouts`] | 3000, 30000, 15000, 110000 |
//! | `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_API_KEY` | `azure` | required for it |
//! | `AZURE_OPENAI_DEPLOYMENT` | `azure` | `gpt-4o-mini` |
//! | `AZURE_OPENAI_API_VERSION` | `azure` | `2024-10-21` |
//! | `OPENAI_MODELS` | `openai` | required for it |
//! | `OPENAI_BASE_URL` | `openai` | `https://api.openai.com/v1` |
//! | `OPENAI_API_KEY` | `openai` | none: no `Authorization` is sent |
//! | `AI_ECHO_URL` | `echo`: where `ai-echo` listens, without `/v1` | required for it |

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::openai::{Address, Client, Setup};
use crate::price::Prices;
use crate::router::{Rules, Settings};
use crate::timeouts::Timeouts;
use crate::{Catalog, Provider};

/// The API version that Azure documents as generally available.
const AZURE_API_VERSION: &str = "2024-10-21";

/// The deployment that the ecosystem runs in production.
const AZURE_DEPLOYMENT: &str = "gpt-4o-mini";

/// Models that one may fall back on: all share the time of one call.
const MAX_FALLBACKS: usize = 4;

/// Where OpenAI itself answers.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Everything that is wrong with the configuration, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Makes the catalogue that the variables describe. `lookup` gives a variable's value: the environment's in a service, a
/// table's in a test.
pub fn catalog(lookup: impl Fn(&str) -> Option<String>) -> Result<Catalog, ConfigError> {
    let mut reader = Reader { lookup: &lookup, problems: Vec::new() };
    let timeouts = reader.timeouts();
    let prices = reader.prices();
    let setups = reader.setups(timeouts);
    let mut problems = reader.problems;
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let mut providers: Vec<(Arc<dyn Provider>, Vec<String>)> = Vec::new();
    for setup in setups {
        let (name, models) = (setup.name.clone(), setup.models.clone());
        match Client::new(setup) {
            Ok(client) => providers.push((Arc::new(client), models)),
            Err(error) => problems.push(format!("the HTTP client of {name} cannot be made: {error}")),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    Catalog::new(providers, &prices).map_err(|problem| ConfigError(vec![problem]))
}

/// Reads how calls are routed.
pub fn routing(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, ConfigError> {
    let mut reader = Reader { lookup: &lookup, problems: Vec::new() };
    let default = Settings::default();
    let settings = Settings {
        retries: reader.number("AI_RETRIES", 0..=5, default.retries),
        breaker: Rules {
            failures: reader.number("AI_BREAKER_FAILURES", 1..=100_000, default.breaker.failures),
            ..default.breaker
        },
        places: reader.places().unwrap_or(default.places),
        most_waiting: reader.number("AI_QUEUE", 0..=100_000, default.most_waiting),
        fallbacks: reader.fallbacks(),
        total: reader.timeouts().total,
        ..default
    };
    if reader.problems.is_empty() { Ok(settings) } else { Err(ConfigError(reader.problems)) }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// A variable that says something.
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    fn require(&mut self, name: &str, provider: &str) -> Option<String> {
        let value = self.get(name);
        if value.is_none() {
            self.problems.push(format!("{name} is not set; the provider {provider:?} of AI_PROVIDERS needs it"));
        }
        value
    }

    fn setups(&mut self, timeouts: Timeouts) -> Vec<Setup> {
        let Some(names) = self.get("AI_PROVIDERS") else {
            self.problems.push("AI_PROVIDERS is not set; name one or more of azure, openai, echo".into());
            return Vec::new();
        };
        let mut setups: Vec<Setup> = Vec::new();
        for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            if setups.iter().any(|s| s.name == name) {
                self.problems.push(format!("AI_PROVIDERS names {name:?} twice"));
                continue;
            }
            let parts = match name {
                "azure" => self.azure(),
                "openai" => self.openai(),
                "echo" => self.echo(),
                _ => {
                    self.problems.push(format!("AI_PROVIDERS names {name:?}; known are azure, openai and echo"));
                    None
                }
            };
            setups.extend(parts.map(|(address, models)| Setup { name: name.to_owned(), address, models, timeouts }));
        }
        setups
    }

    fn azure(&mut self) -> Option<(Address, Vec<String>)> {
        let endpoint = self.require("AZURE_OPENAI_ENDPOINT", "azure");
        let endpoint = endpoint.and_then(|text| self.url("AZURE_OPENAI_ENDPOINT", &text));
        let key = self.require("AZURE_OPENAI_API_KEY", "azure");
        let key = key.and_then(|key| self.key("AZURE_OPENAI_API_KEY", key));
        let deployment = self.get("AZURE_OPENAI_DEPLOYMENT").unwrap_or_else(|| AZURE_DEPLOYMENT.to_owned());
        let api_version = self.get("AZURE_OPENAI_API_VERSION").unwrap_or_else(|| AZURE_API_VERSION.to_owned());
        let models = vec![deployment.clone()];
        Some((Address::Azure { endpoint: endpoint?, deployment, api_version, key: key? }, models))
    }

    fn openai(&mut self) -> Option<(Address, Vec<String>)> {
        let base = self.get("OPENAI_BASE_URL").unwrap_or_else(|| OPENAI_BASE_URL.to_owned());
        let base = self.url("OPENAI_BASE_URL", &base);
        let key = self.get("OPENAI_API_KEY").and_then(|key| self.key("OPENAI_API_KEY", key));
        let models = self.require("OPENAI_MODELS", "openai")?;
        let models = models.split(',').map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
        Some((Address::Compatible { base: base?, key }, models))
    }

    fn echo(&mut self) -> Option<(Address, Vec<String>)> {
        let base = self.require("AI_ECHO_URL", "echo")?;
        let mut base = self.url("AI_ECHO_URL", &base)?;
        base.path_segments_mut().ok()?.pop_if_empty().push("v1");
        Some((Address::Compatible { base, key: None }, crate::echo::MODELS.map(str::to_owned).to_vec()))
    }

    fn url(&mut self, name: &str, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() => {
                Some(url)
            }
            Ok(_) => {
                self.problems.push(format!("{name} must be http(s)://HOST[:PORT][/PATH] without a user name"));
                None
            }
            Err(error) => {
                self.problems.push(format!("{name} is not a URL: {error}"));
                None
            }
        }
    }

    /// The key, if it can stand in a header. The message must not repeat it.
    fn key(&mut self, name: &str, key: String) -> Option<SecretString> {
        if key.bytes().all(|b| b.is_ascii_graphic()) {
            return Some(key.into());
        }
        self.problems.push(format!("{name} holds characters that no key has (spaces, line ends or non-ASCII)"));
        None
    }

    fn prices(&mut self) -> Prices {
        match self.get("AI_PRICES").map(|text| Prices::parse(&text)) {
            None => Prices::default(),
            Some(Ok(prices)) => prices,
            Some(Err(problem)) => {
                self.problems.push(format!("AI_PRICES: {problem}"));
                Prices::default()
            }
        }
    }

    fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        allowed: std::ops::RangeInclusive<T>,
        default: T,
    ) -> T {
        let Some(text) = self.get(name) else { return default };
        if let Some(number) = text.parse().ok().filter(|number| allowed.contains(number)) {
            return number;
        }
        let (from, to) = allowed.into_inner();
        self.problems.push(format!("{name} is {text:?}; it must be a whole number from {from} to {to}"));
        default
    }

    fn places(&mut self) -> Option<Vec<(String, usize)>> {
        let text = self.get("AI_CONCURRENCY")?;
        let mut places = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let number = entry.split_once('=').and_then(|(model, n)| Some((model.trim(), n.trim().parse().ok()?)));
            match number {
                Some((model, number @ 1..=100_000)) => places.push((model.to_owned(), number)),
                _ => self.problems.push(format!("AI_CONCURRENCY: {entry:?} is not MODEL=CALLS, of 1 to 100000 calls")),
            }
        }
        Some(places)
    }

    fn fallbacks(&mut self) -> Vec<(String, Vec<String>)> {
        let text = self.get("AI_FALLBACKS").unwrap_or_default();
        let mut chains: Vec<(String, Vec<String>)> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let mut models = entry.split('>').map(|model| model.trim().to_owned());
            let (model, chain) = (models.next().unwrap_or_default(), models.collect::<Vec<_>>());
            if model.is_empty() || chain.is_empty() || chain.iter().any(String::is_empty) {
                self.problems.push(format!("AI_FALLBACKS: {entry:?} is not MODEL>MODEL"));
            } else if chain.len() > MAX_FALLBACKS {
                self.problems.push(format!("AI_FALLBACKS: {entry:?} is longer than {MAX_FALLBACKS} models"));
            } else if chains.iter().any(|(known, _)| *known == model) {
                self.problems.push(format!("AI_FALLBACKS says twice where {model:?} leads"));
            } else {
                chains.push((model, chain));
            }
        }
        chains
    }

    fn timeouts(&mut self) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            connect: self.milliseconds("AI_TIMEOUT_CONNECT_MS", default.connect),
            first_byte: self.milliseconds("AI_TIMEOUT_FIRST_BYTE_MS", default.first_byte),
            between_tokens: self.milliseconds("AI_TIMEOUT_BETWEEN_TOKENS_MS", default.between_tokens),
            total: self.milliseconds("AI_TIMEOUT_TOTAL_MS", default.total),
        }
    }

    fn milliseconds(&mut self, name: &str, default: Duration) -> Duration {
        let Some(text) = self.get(name) else { return default };
        if let Ok(milliseconds @ 1..=3_600_000) = text.parse() {
            return Duration::from_millis(milliseconds);
        }
        self.problems.push(format!("{name} is {text:?}; it must be a whole number from 1 to 3600000"));
        default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Catalog, ConfigError> {
        catalog(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    const AZURE: [(&str, &str); 3] = [
        ("AI_PROVIDERS", "azure"),
        ("AZURE_OPENAI_ENDPOINT", "https://mana.openai.azure.com"),
        ("AZURE_OPENAI_API_KEY", "k3y"),
    ];

    #[test]
    fn production_offers_its_deployment_at_one_credit() {
        let catalog = load(&AZURE).unwrap();
        let offer = catalog.default_offer();
        assert_eq!((offer.model.as_str(), offer.provider.name()), ("gpt-4o-mini", "azure"));
        assert_eq!(offer.price, crate::Price::Answer(kit::Credits::whole(1)));
    }

    #[test]
    fn several_providers_are_offered_in_the_order_named() {
        let catalog = load(&[
            ("AI_PROVIDERS", "openai, echo"),
            ("OPENAI_MODELS", "a, b"),
            ("AI_ECHO_URL", "http://127.0.0.1:3090"),
            ("AI_PRICES", "b=5,*=2"),
        ])
        .unwrap();
        let models: Vec<_> = catalog.offers().iter().map(|o| o.model.as_str()).collect();
        assert_eq!(models, ["a", "b", "echo", "echo-slow", "echo-fail", "echo-abort"]);
        assert_eq!(catalog.find("b").map(|o| o.price), Some(crate::Price::Answer(kit::Credits::whole(5))));
        assert_eq!(catalog.providers().len(), 2);
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_never_with_a_key() {
        for (variables, says) in [
            (vec![], vec!["AI_PROVIDERS is not set"]),
            (
                vec![("AI_PROVIDERS", "azure")],
                vec!["AZURE_OPENAI_ENDPOINT is not set", "AZURE_OPENAI_API_KEY is not set"],
            ),
            (vec![("AI_PROVIDERS", "azur")], vec!["known are azure, openai and echo"]),
            (vec![("AI_PROVIDERS", "echo")], vec!["AI_ECHO_URL is not set"]),
            (vec![("AI_PROVIDERS", "echo,echo"), ("AI_ECHO_URL", "http://h")], vec!["twice"]),
            (vec![("AI_PROVIDERS", "echo"), ("AI_ECHO_URL", "ftp://h")], vec!["AI_ECHO_URL must be http"]),
            (vec![("AI_PROVIDERS", "echo"), ("AI_ECHO_URL", "http://h"), ("AI_PRICES", "x=1")], vec!["has no price"]),
            (
                vec![("AI_PROVIDERS", "echo"), ("AI_ECHO_URL", "http://h"), ("AI_PRICES", "*=-1")],
                vec!["more than nothing"],
            ),
            (
                vec![("AI_PROVIDERS", "echo"), ("AI_ECHO_URL", "http://h"), ("AI_TIMEOUT_TOTAL_MS", "0")],
                vec!["AI_TIMEOUT_TOTAL_MS"],
            ),
            (
                vec![("AI_PROVIDERS", "openai"), ("OPENAI_API_KEY", "sk secret"), ("OPENAI_BASE_URL", "nowhere")],
                vec!["OPENAI_API_KEY holds", "OPENAI_BASE_URL is not a URL", "OPENAI_MODELS is not set"],
            ),
        ] {
            let error = load(&variables).unwrap_err().to_string();
            for part in says {
                assert!(error.contains(part), "{variables:?}: {error}");
            }
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn routing_is_read_and_what_makes_no_sense_is_said() {
        let read = |variables: &[(&str, &str)]| {
            routing(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(read(&[]).unwrap(), Settings::default());
        let settings =
            read(&[("AI_FALLBACKS", "a > b>c, d>a"), ("AI_CONCURRENCY", "a=2,*=9"), ("AI_RETRIES", "0")]).unwrap();
        assert_eq!(settings.fallbacks[0], ("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!((settings.fallbacks.len(), settings.places.len(), settings.retries), (2, 2, 0));
        for (name, value) in [
            ("AI_RETRIES", "6"),
            ("AI_QUEUE", "x"),
            ("AI_BREAKER_FAILURES", "0"),
            ("AI_CONCURRENCY", "a"),
            ("AI_CONCURRENCY", "a=0"),
            ("AI_FALLBACKS", "a"),
            ("AI_FALLBACKS", "a>"),
            ("AI_FALLBACKS", "a>b,a>c"),
            ("AI_FALLBACKS", "a>b>c>d>e>f"),
        ] {
            assert!(read(&[(name, value)]).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
