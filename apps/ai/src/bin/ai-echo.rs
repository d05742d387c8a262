//! The program: serves [`ai::echo`] on `HOST`:`PORT`. What it can be told is on that module's page.

use std::process::ExitCode;
use std::time::Duration;

use ai::echo::{self, Settings};
use kit::config::{Base, Env, Error};
use kit::service::{Service, serve};

fn main() -> ExitCode {
    kit::run(|env, arguments| async move {
        match arguments.as_slice() {
            [] => {}
            // It keeps nothing, so there is nothing to bring up to date.
            [command] if command == "migrate" => return Ok(()),
            _ => return Err(Error::Usage("usage: ai-echo (it takes no arguments but `migrate`)".into()).into()),
        }
        let base = Base::read(&env, "ai-echo")?;
        let settings = settings(&env)?;
        let (routes, openapi, _calls) = echo::service(settings);
        serve(&base, Service::new(routes).openapi(&openapi)).await
    })
}

fn settings(env: &Env) -> Result<Settings, Error> {
    let delay = env.parsed::<u32>("ECHO_DELAY_MS", "milliseconds before every word")?.unwrap_or_default();
    let failure_rate = env.parsed::<f64>("ECHO_FAILURE_RATE", "a share from 0 to 1")?.unwrap_or_default();
    if !(0.0..=1.0).contains(&failure_rate) {
        let allowed = "a share from 0 to 1".to_owned();
        return Err(Error::Invalid { name: "ECHO_FAILURE_RATE".into(), value: failure_rate.to_string(), allowed });
    }
    let abort_after = env.parsed("ECHO_ABORT_AFTER", "a number of words")?;
    Ok(Settings { delay: Duration::from_millis(delay.into()), failure_rate, abort_after })
}
