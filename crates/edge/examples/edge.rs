//! The edge alone, as benchmarks and curious people run it:
//! `cargo run -p mana-edge --example edge -- --config FILE [--admin SOCKET] [--threads N] [--log FILE|-] [--replace yes]`.

use std::process::ExitCode;

use mana_edge::{AccessLog, Options};

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!(
                "{problem}\nusage: edge --config FILE [--admin SOCKET] [--threads N] [--log FILE|-] [--replace yes]"
            );
            return ExitCode::from(64);
        }
    };
    match mana_edge::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut config = None;
    let (mut admin, mut threads, mut log, mut replace) = (None, None, AccessLog::Off, false);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--config" => config = Some(value),
            "--admin" => admin = Some(value),
            "--threads" => {
                threads = Some(value.parse().map_err(|_| format!("--threads {value}: a positive number is needed"))?);
            }
            "--replace" => replace = value == "yes",
            "--log" if value == "-" => log = AccessLog::Stdout,
            "--log" => log = AccessLog::File(value.into()),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    let mut options = Options::new(config.ok_or("--config is missing")?).access_log(log);
    options.admin = admin.map(Into::into);
    options.threads = threads;
    options.replace = replace;
    Ok(options)
}
