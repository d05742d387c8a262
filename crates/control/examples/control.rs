//! The control plane and the edge as one small program, for tests: what `mana control` and `mana edge` do, without the
//! rest of the command line.
//!
//! ```text
//! control control --data DIR
//! control edge --config FILE --admin SOCKET --access-log FILE
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use mana_control::daemon::{self, Options};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| -> PathBuf {
        let at = arguments.iter().position(|argument| argument == flag).expect("the flag is given");
        PathBuf::from(&arguments[at + 1])
    };
    match arguments.first().map(String::as_str) {
        Some("control") => {
            let mut options = Options::new(value("--data")).expect("the own binary");
            if let Some(program) = std::env::var_os("TEST_EDGE_PROGRAM") {
                options.edge_argv[0] = program.into_string().expect("UTF-8");
            }
            match daemon::run(options) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Some("edge") => {
            let options = mana_edge::Options::new(value("--config")).admin(value("--admin"));
            let options = options.access_log(mana_edge::AccessLog::File(value("--access-log")));
            let options =
                if arguments.iter().any(|argument| argument == "--replace") { options.replace() } else { options };
            match mana_edge::run(options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::from(error.exit_code())
                }
            }
        }
        _ => ExitCode::from(64),
    }
}
