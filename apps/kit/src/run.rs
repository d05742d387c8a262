//! The outermost frame of a service's process: runtime, logs, exit codes.

use std::process::ExitCode;

use crate::config::{self, Env};
use crate::telemetry;

/// Exit code for configuration or a command line that cannot be used.
const EXIT_CONFIG: u8 = 64;

/// Threads that run a service's tasks, at most: each costs memory, and each that another one wakes costs time. What takes long
/// runs in [`BLOCKING_THREADS`].
const WORKER_THREADS: usize = 2;

/// Threads for blocking work (password hashing, files). A bound, since each may hold a hash's memory.
const BLOCKING_THREADS: usize = 16;

/// Why a service's process ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its configuration cannot be used; exit code 64.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Anything else; exit code 1.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// Wraps any error; exit code 1.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// As many as half of the machine's processors: a service shares them with the edge, the services it calls and their databases.
fn worker_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (processors / 2).clamp(1, WORKER_THREADS)
}

/// Runs a service's `main`: gives it the environment and the arguments after the program's name, and turns its end into an
/// exit code (0, 1, or 64 for configuration). What it fails with is logged once, here, and told on standard error.
pub fn run<F, Fut>(main: F) -> ExitCode
where
    F: FnOnce(Env, Vec<String>) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    telemetry::init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(main(Env::process(), std::env::args().skip(1).collect()));
    // What still blocks after the drain is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => {
            tracing::error!(%error, "configuration cannot be used");
            eprintln!("{error}");
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Failed(error)) => {
            let error = telemetry::chain(&*error);
            tracing::error!(error, "ended with an error");
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
