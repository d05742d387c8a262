//! Somebody else's OpenID Connect provider: where it is said to be, what it says, and whether that is to be believed.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::client;
use kit::config::{Env, Error};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// After this, metadata and keys are asked for again.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Not sooner than this even for a key that is not known, which tokens with made-up key ids would be.
const MIN_PAUSE: Duration = Duration::from_secs(10);

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// How far clocks may be apart.
const LEEWAY_S: u64 = 60;

/// Signatures that are believed: of keys whose public half is published, never of a shared secret.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a provider's word does not count; for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not as the standard says.
    #[error("the provider {0}")]
    Away(String),
    /// It refuses the code, or what it says is not to be believed.
    #[error("the provider's answer does not count: {0}")]
    Refused(String),
}

fn away(what: &str) -> impl Fn(reqwest::Error) -> ProviderError {
    move |error| ProviderError::Away(format!("does not give its {what}: {}", error.without_url()))
}

fn refused(why: impl Into<String>) -> ProviderError {
    ProviderError::Refused(why.into())
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Clone)]
struct Known {
    metadata: Metadata,
    keys: JwkSet,
    at: Instant,
}

/// What is configured of it: `OIDC_ISSUER`, `OIDC_CLIENT_ID`, `OIDC_CLIENT_SECRET`, `OIDC_NAME`, `OIDC_REDIRECTS`.
pub(crate) struct Provider {
    issuer: String,
    client_id: String,
    client_secret: SecretString,
    /// What people are told it is called.
    pub(crate) name: String,
    /// Where people may come back to.
    redirects: Vec<String>,
    http: Client,
    known: Mutex<Option<Known>>,
}

/// Who somebody is, as the provider says.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<SecretString>,
}

#[derive(Debug, Clone, Deserialize)]
struct IdToken {
    sub: String,
    #[serde(default)]
    aud: serde_json::Value,
    azp: Option<String>,
    nonce: Option<String>,
    #[serde(flatten)]
    about: About,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct About {
    email: Option<String>,
    /// Some write it as text.
    #[serde(default)]
    email_verified: serde_json::Value,
    name: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    about: About,
}

/// What belongs to one way there and back.
pub(crate) struct Trip<'a> {
    pub(crate) redirect: &'a str,
    pub(crate) state: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) verifier: &'a str,
}

impl Provider {
    /// `None` where no provider is configured.
    pub(crate) fn read(env: &Env, app_url: &str) -> Result<Option<Self>, Error> {
        let Some(issuer) = env.optional("OIDC_ISSUER") else { return Ok(None) };
        let allowed = "the provider's issuer, an https:// URL";
        if !Url::parse(&issuer).is_ok_and(|url| is_protected(&url)) {
            return Err(Error::Invalid { name: "OIDC_ISSUER".into(), value: issuer, allowed: allowed.into() });
        }
        let redirects = env.optional("OIDC_REDIRECTS").unwrap_or_else(|| format!("{app_url}/login/provider"));
        Ok(Some(Self {
            client_id: env.required("OIDC_CLIENT_ID", "the id that the provider knows us by")?,
            client_secret: env.secret("OIDC_CLIENT_SECRET", "the secret that we show the provider")?,
            name: env.optional("OIDC_NAME").unwrap_or_else(|| "your organisation".to_owned()),
            redirects: redirects.split(',').map(|redirect| redirect.trim().to_owned()).collect(),
            issuer,
            http: client::internal(),
            known: Mutex::default(),
        }))
    }

    /// Whether people may come back to this address.
    pub(crate) fn comes_back_to(&self, redirect: &str) -> bool {
        self.redirects.iter().any(|known| known == redirect)
    }

    /// Where the browser is sent.
    pub(crate) async fn address(&self, trip: &Trip<'_>) -> Result<Url, ProviderError> {
        let known = self.known(None).await?;
        let mut url = known.metadata.authorization_endpoint;
        let challenge = {
            use base64::Engine as _;
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(trip.verifier);
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
        };
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", trip.redirect)
            .append_pair("scope", "openid email profile")
            .append_pair("state", trip.state)
            .append_pair("nonce", trip.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Exchanges the code that the browser came back with; says who it is.
    pub(crate) async fn person(&self, code: &str, trip: &Trip<'_>) -> Result<Person, ProviderError> {
        let metadata = self.known(None).await?.metadata;
        let tokens = self.exchange(&metadata, code, trip).await?;
        let id = self.believed(&tokens.id_token, trip.nonce).await?;
        let mut about = id.about;
        if let (None, Some(endpoint), Some(token)) = (&about.email, metadata.userinfo_endpoint, tokens.access_token) {
            let call = self.http.get(endpoint).bearer_auth(token.expose_secret());
            let info: UserInfo = answer(call, "user info").await?;
            if info.sub != id.sub {
                return Err(refused("user info is of somebody else"));
            }
            about = info.about;
        }
        let email_verified = about.email_verified == true || about.email_verified == "true";
        Ok(Person { issuer: metadata.issuer, subject: id.sub, email: about.email, email_verified, name: about.name })
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, trip: &Trip<'_>) -> Result<Tokens, ProviderError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", trip.redirect),
            ("code_verifier", trip.verifier),
        ];
        let secret = self.client_secret.expose_secret();
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let in_body = !methods.is_empty() && !methods.iter().any(|method| method == "client_secret_basic");
        if in_body {
            fields.extend([("client_id", self.client_id.as_str()), ("client_secret", secret)]);
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut call = self.http.post(metadata.token_endpoint.clone());
        if !in_body {
            let coded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            call = call.basic_auth(coded(&self.client_id), Some(coded(secret)));
        }
        answer(call.header("content-type", "application/x-www-form-urlencoded").body(body), "tokens").await
    }

    /// What an ID token says, if it is to be believed.
    async fn believed(&self, token: &str, nonce: &str) -> Result<IdToken, ProviderError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| refused(error.to_string()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused(format!("its algorithm is {:?}", header.alg)));
        }
        let keys = self.known(header.kid.as_deref()).await?.keys;
        let key = match &header.kid {
            Some(id) => keys.find(id),
            None => Some(&keys.keys).filter(|keys| keys.len() == 1).and_then(|keys| keys.first()),
        };
        let key = key.ok_or_else(|| refused("its key is not among those published"))?;
        let key = DecodingKey::from_jwk(key).map_err(|error| refused(error.to_string()))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let claims = jsonwebtoken::decode::<IdToken>(token, &key, &validation);
        let claims = claims.map_err(|error| refused(error.to_string()))?.claims;
        if claims.nonce.as_deref() != Some(nonce) {
            return Err(refused("it is not of this sign-in"));
        }
        let several = claims.aud.as_array().is_some_and(|list| list.len() > 1);
        if claims.azp.as_ref().map_or(several, |party| *party != self.client_id) {
            return Err(refused("it is for another party"));
        }
        Ok(claims)
    }

    /// Metadata and keys; asked for again when they are old, or a key is not among them.
    async fn known(&self, key: Option<&str>) -> Result<Known, ProviderError> {
        // Held while asking, so that it happens once for many who wait.
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            let age = known.at.elapsed();
            let missing = key.is_some_and(|id| known.keys.find(id).is_none());
            if age < MIN_PAUSE || (age < MAX_AGE && !missing) {
                return Ok(known.clone());
            }
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = answer(self.http.get(address), "metadata").await?;
        if metadata.issuer != self.issuer {
            return Err(ProviderError::Away(format!("calls itself {:?}", metadata.issuer)));
        }
        let addresses = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if !addresses.into_iter().chain(&metadata.userinfo_endpoint).all(is_protected) {
            return Err(ProviderError::Away("names addresses that are not protected by TLS".to_owned()));
        }
        let keys: BTreeMap<String, serde_json::Value> =
            answer(self.http.get(metadata.jwks_uri.clone()), "keys").await?;
        let fresh = Known { keys: usable(&keys), metadata, at: Instant::now() };
        *known = Some(fresh.clone());
        Ok(fresh)
    }
}

/// The keys of a set that are of a kind we know; others are passed over.
fn usable(set: &BTreeMap<String, serde_json::Value>) -> JwkSet {
    let listed = set.get("keys").and_then(serde_json::Value::as_array).into_iter().flatten();
    let keys = listed.filter(|key| key.get("use").is_none_or(|what| what == "sig"));
    JwkSet { keys: keys.filter_map(|key| serde_json::from_value(key.clone()).ok()).collect() }
}

/// By TLS, or on this machine.
fn is_protected(url: &Url) -> bool {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

/// Makes a call and reads its answer, up to a bound.
async fn answer<T: DeserializeOwned>(call: RequestBuilder, what: &str) -> Result<T, ProviderError> {
    let mut response = call.send().await.map_err(away(what))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away(what))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(ProviderError::Away(format!("answers with more than {MAX_ANSWER_BYTES} bytes of {what}")));
        }
    }
    if status.is_client_error() {
        // `invalid_grant` and the like; nothing else of what it says.
        let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let code = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("no reason");
        return Err(refused(format!("no {what}: status {}, {}", status.as_u16(), code.escape_debug())));
    }
    if !status.is_success() {
        return Err(ProviderError::Away(format!("answers {} for its {what}", status.as_u16())));
    }
    serde_json::from_slice(&body).map_err(|error| ProviderError::Away(format!("does not speak the standard: {error}")))
}
