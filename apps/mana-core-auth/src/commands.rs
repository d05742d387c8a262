//! One-off commands, run as `mana run mana-core-auth -- COMMAND`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kit::config::{self, Base, Env};
use kit::database::{self, Database};
use kit::{Credits, Failure, clock};
use uuid::Uuid;

use crate::accounts::{roles, store, validate};
use crate::app::MIGRATIONS;
use crate::ledger::gifts::{self, store as codes};
use crate::ledger::internal_routes::MAX_KEY_BYTES;
use crate::ledger::{self, Ask, Funds, Ledger, Undo, audit};
use crate::settings::Tokens;
use crate::{keyring, sessions, time};

/// Identity, tokens and the credits ledger. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "mana-core-auth", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings the database up to date.
    Migrate,
    /// Gives credits to an account.
    Grant {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
        /// How many; fractions down to a thousandth.
        #[arg(long)]
        credits: Credits,
        /// Shown in the account's history.
        #[arg(long, default_value = "granted by an operator")]
        reason: String,
        /// Whether they were paid for; free ones are spent first.
        #[arg(long, default_value = "free", value_name = "free|paid")]
        funds: Funds,
        /// What makes it the same grant when it is given again: with one key credits are given once. Without, each call is one of its own.
        #[arg(long, value_parser = checked_key)]
        key: Option<String>,
    },
    /// Undoes a grant, a gift or a charge by a posting that points to it: once, and never into the negative.
    Reverse {
        /// The posting: the `id` of a transaction.
        #[arg(long)]
        posting: Uuid,
        /// Why; shown in the account's history.
        #[arg(long)]
        reason: String,
    },
    /// Makes a gift code and prints it.
    GiftCode {
        /// How many credits it gives.
        #[arg(long)]
        credits: Credits,
        /// How many people can redeem it, once each.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(gifts::MAX_USES)))]
        uses: u32,
        /// Days until it is no longer valid; without, it stays valid.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: Option<u16>,
        /// Why; kept beside it.
        #[arg(long)]
        reason: String,
        /// Whether its credits count as paid for.
        #[arg(long, default_value = "free", value_name = "free|paid")]
        funds: Funds,
    },
    /// Makes an account an administrator's.
    MakeAdmin {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Gives an account a role. It counts from its next tokens on, at the latest when those of now expire.
    SetRole {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
        /// What it may do.
        #[arg(long, value_parser = ["user", "admin"])]
        role: String,
    },
    /// Gives an account further roles, of those that `ROLES` names, or takes them away. They count from its next tokens on.
    Role {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
        /// A role it gets.
        #[arg(long, value_name = "ROLE", required_unless_present = "remove")]
        add: Vec<String>,
        /// A role it loses.
        #[arg(long, value_name = "ROLE")]
        remove: Vec<String>,
    },
    /// Closes an account: its sessions end at once, and nobody gets in. Nothing is lost.
    Disable {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Opens an account that was closed.
    Enable {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Publishes the next key for tokens, which signs once everybody knows it. No live token is refused.
    RotateKeys {
        /// Somebody else knows the keys: all stop counting at once, and a new one signs. Every access token ends with them;
        /// people's sessions go on.
        #[arg(long)]
        compromised: bool,
    },
    /// Checks that every balance is the sum of its entries and all entries sum to zero; exit code 1 where that is not so.
    CheckLedger {
        /// Prints the statements instead, each of which finds nothing in books that are right.
        #[arg(long)]
        sql: bool,
    },
}

impl Arguments {
    /// Parses the arguments after the program's name. Help and version are printed, and end the process.
    pub fn read(arguments: Vec<String>) -> Result<Self, config::Error> {
        let arguments = std::iter::once("mana-core-auth".to_owned()).chain(arguments);
        Self::try_parse_from(arguments).map_err(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            config::Error::Usage(error.to_string())
        })
    }
}

/// A key as services may give one, too.
fn checked_key(text: &str) -> Result<String, String> {
    if (1..=MAX_KEY_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("must have 1 to {MAX_KEY_BYTES} bytes, no control characters"))
}

/// Runs a command.
pub async fn run(env: &Env, command: Command) -> Result<(), Failure> {
    let database = async || database::connect(Base::read(env, "mana-core-auth")?.database_url.as_ref()).await;
    match command {
        Command::Migrate => MIGRATIONS.command(env).await,
        Command::Grant { email, credits, reason, funds, key } => {
            grant(&database().await?, &email, credits, reason, funds, key).await
        }
        Command::Reverse { posting, reason } => reverse(&database().await?, posting, reason).await,
        Command::GiftCode { credits, uses, days, reason, funds } => {
            let expires_at = days.map(|days| time::later(clock::now(), Duration::from_hours(24 * u64::from(days))));
            let made_by = "operator".to_owned();
            let new = codes::New { amount: credits, funds, uses, expires_at, reason, made_by };
            gift_code(&database().await?, &new).await
        }
        Command::MakeAdmin { email } => make_admin(&database().await?, &email).await,
        Command::SetRole { email, role } => set_role(&database().await?, &email, &role).await,
        Command::Role { email, add, remove } => {
            change_roles(&database().await?, &email, &add, &remove, &roles::known(env)?).await
        }
        Command::Disable { email } => disable(&database().await?, &email).await,
        Command::Enable { email } => enable(&database().await?, &email).await,
        Command::RotateKeys { compromised } => rotate_keys(&database().await?, &Tokens::read(env)?, compromised).await,
        Command::CheckLedger { sql: true } => {
            println!("{}", audit::statements(clock::now()));
            Ok(())
        }
        Command::CheckLedger { sql: false } => check_ledger(&database().await?).await,
    }
}

async fn grant(
    database: &Database,
    email: &str,
    amount: Credits,
    reason: String,
    funds: Funds,
    key: Option<String>,
) -> Result<(), Failure> {
    if amount <= Credits::ZERO {
        return Err(config::Error::Usage(format!("--credits is {amount}: it must be more than 0")).into());
    }
    let user = account(database, email).await?;
    let actor = Some("operator".to_owned());
    let key = key.unwrap_or_else(|| clock::new_id().to_string());
    let ask = Ask { user: user.id, amount, reason, funds, actor };
    let again = same_grant(&user.email, &ask, &key);
    let granted = Ledger::start(database.clone()).grant(ask, &key, clock::now()).await;
    let balance = granted.map_err(|error| not_granted(error, &again))?;
    println!("{} has {balance} credits now", user.email);
    Ok(())
}

/// The command that gives the same credits, and gives them once however often it is run.
fn same_grant(email: &str, ask: &Ask, key: &str) -> String {
    let Ask { amount, reason, funds, .. } = ask;
    let (email, reason, key, funds) = (quoted(email), quoted(reason), quoted(key), funds.as_str());
    format!(
        "mana run mana-core-auth -- grant --email {email} --credits {amount} --reason {reason} --funds {funds} --key {key}"
    )
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What the ledger refused it has not done; of anything else it is not known.
fn not_granted(error: ledger::Error, again: &str) -> Failure {
    if let ledger::Error::Refused(_) = error {
        return Failure::new(error);
    }
    let why = kit::chain(&error);
    let says = "It is not known whether the credits were given; this gives them once in any case";
    Failure::new(format!("{why}. {says}:\n  {again}"))
}

async fn reverse(database: &Database, posting: Uuid, reason: String) -> Result<(), Failure> {
    let user = ledger::owner(&**database, posting).await.map_err(Failure::new)?;
    let user = user.ok_or_else(|| Failure::new(format!("there is no posting {posting}")))?;
    let undo = Undo { user, posting, reason, actor: "operator".to_owned() };
    let balance = Ledger::start(database.clone()).reverse(undo, clock::now()).await.map_err(Failure::new)?;
    println!("posting {posting} is reversed; its account has {balance} credits now");
    Ok(())
}

async fn gift_code(database: &Database, new: &codes::New) -> Result<(), Failure> {
    if new.amount <= Credits::ZERO || new.amount > gifts::MAX_AMOUNT {
        let most = gifts::MAX_AMOUNT;
        let message = format!("--credits is {}: it must be more than 0 and at most {most}", new.amount);
        return Err(config::Error::Usage(message).into());
    }
    let made = codes::make(database, new, clock::now()).await.map_err(Failure::new)?;
    println!("{}", made.code);
    Ok(())
}

async fn make_admin(database: &Database, email: &str) -> Result<(), Failure> {
    set_role(database, email, "admin").await
}

async fn set_role(database: &Database, email: &str, role: &str) -> Result<(), Failure> {
    let user = account(database, email).await?;
    store::set_role(&**database, &user.email, role).await.map_err(Failure::new)?;
    println!("{} has the role {role:?} in all tokens from now on; those given before expire by themselves", user.email);
    Ok(())
}

async fn change_roles(
    database: &Database,
    email: &str,
    add: &[String],
    remove: &[String],
    known: &BTreeSet<String>,
) -> Result<(), Failure> {
    let user = account(database, email).await?;
    let new = roles::change(&user.roles, add, remove, known).map_err(config::Error::Usage)?;
    if !store::set_roles(&**database, user.id, &user.roles, &new).await.map_err(Failure::new)? {
        return Err(Failure::new("somebody else changed its roles at this moment; do it again"));
    }
    let told = if new.is_empty() { "no further roles" } else { &new };
    println!("{} has {told} in all tokens from now on; those given before expire by themselves", user.email);
    Ok(())
}

async fn disable(database: &Database, email: &str) -> Result<(), Failure> {
    let user = account(database, email).await?;
    let now = clock::now().as_millisecond();
    let transaction = database.begin_write().await.map_err(Failure::new)?;
    store::set_disabled(&*transaction, user.id, Some(now)).await.map_err(Failure::new)?;
    let ended = sessions::store::end_all(&*transaction, user.id, now).await.map_err(Failure::new)?;
    transaction.commit().await.map_err(Failure::new)?;
    println!("{} is closed, and {ended} of its sessions have ended", user.email);
    Ok(())
}

async fn enable(database: &Database, email: &str) -> Result<(), Failure> {
    let user = account(database, email).await?;
    store::set_disabled(&**database, user.id, None).await.map_err(Failure::new)?;
    println!("{} is open", user.email);
    Ok(())
}

async fn rotate_keys(database: &Database, settings: &Tokens, compromised: bool) -> Result<(), Failure> {
    let now = clock::now();
    let transaction = database.begin_write().await.map_err(Failure::new)?;
    let told = if compromised {
        let generation = keyring::replace_all(&*transaction, now).await.map_err(Failure::new)?;
        format!("key {generation} signs now; no token of the keys before it counts any more")
    } else {
        let (generation, from) = keyring::rotate(&*transaction, now, settings.key_lead).await.map_err(Failure::new)?;
        format!("key {generation} is published and signs from {from} on")
    };
    transaction.commit().await.map_err(Failure::new)?;
    println!("{told}");
    Ok(())
}

async fn check_ledger(database: &Database) -> Result<(), Failure> {
    let findings = audit::findings(database).await.map_err(Failure::new)?;
    if findings.is_empty() {
        println!("the ledger is right: every balance is the sum of its entries, and all entries sum to zero");
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(Failure::new("the ledger is not right; nothing was changed"))
}

async fn account(database: &Database, email: &str) -> Result<crate::entity::user::Model, Failure> {
    let address =
        validate::email(email).map_err(|why| config::Error::Usage(format!("--email is {email:?}: it {why}")))?;
    let user = store::by_email(&**database, &address).await.map_err(Failure::new)?;
    user.ok_or_else(|| Failure::new(format!("there is no account with the address {address}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_know_whether_credits_were_given_is_told_what_gives_them_once() {
        let reason = "it's owed".to_owned();
        let ask =
            Ask { user: Uuid::nil(), amount: Credits::from_units(12_500), reason, funds: Funds::Paid, actor: None };
        let again = same_grant("ada@example.org", &ask, "k1");
        assert_eq!(
            again,
            r"mana run mana-core-auth -- grant --email 'ada@example.org' --credits 12.5 --reason 'it'\''s owed' --funds paid --key 'k1'"
        );
        for unclear in [ledger::Error::Away, ledger::Error::Busy, ledger::Error::Fault] {
            let message = not_granted(unclear, &again).to_string();
            assert!(message.contains("not known") && message.ends_with(&again), "{message}");
        }
        let refused = not_granted(ledger::Refusal::Overflow.into(), &again).to_string();
        assert_eq!(refused, "the amount is beyond what an account can hold");
    }

    #[test]
    fn a_key_is_no_longer_than_others() {
        assert_eq!(checked_key("k"), Ok("k".to_owned()));
        for wrong in ["", "a\nb", &"k".repeat(201)] {
            assert!(checked_key(wrong).is_err(), "{wrong}");
        }
    }
}
