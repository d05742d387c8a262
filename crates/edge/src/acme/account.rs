//! The account at the authority: made once, its key kept.

use std::fs;

use instant_acme::{Account, AccountBuilder, AccountCredentials, NewAccount};

use super::order::OrderError;
use crate::private_file;
use crate::snapshot::Acme;

/// Opens the account that is on disk, or makes one.
pub(crate) async fn open(acme: &Acme) -> Result<Account, OrderError> {
    let folder = super::folder(acme);
    let path = folder.join("account.json");
    let file = |source| OrderError::File { path: path.clone(), source };
    if path.exists() {
        let text = fs::read(&path).map_err(file)?;
        let credentials: AccountCredentials = serde_json::from_slice(&text).map_err(|error| file(error.into()))?;
        return Ok(builder(acme)?.from_credentials(credentials).await?);
    }
    private_file::folder(&folder).map_err(file)?;
    let contact = acme.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<_> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder(acme)?.create(&new, acme.directory.clone(), None).await?;
    let text = serde_json::to_vec_pretty(&credentials).map_err(|error| file(error.into()))?;
    private_file::write(&path, &text).map_err(file)?;
    tracing::info!(directory = acme.directory, "an account was made at the certificate authority");
    Ok(account)
}

fn builder(acme: &Acme) -> Result<AccountBuilder, OrderError> {
    Ok(match &acme.roots {
        Some(roots) => Account::builder_with_root(roots)?,
        None => Account::builder()?,
    })
}
