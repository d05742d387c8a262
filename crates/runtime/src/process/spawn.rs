//! Starting a process so that nothing ties it to the one that started it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret;

use crate::driver::{INSTANCE_VARIABLE, Spec, StartError};

/// Taken over from our own environment where set, since a program cannot be found or read text without them.
const BASICS: [(&str, &str); 3] = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/"), ("LANG", "C.UTF-8")];

/// Opens a log for appending; only its owner reads it. `O_APPEND` makes every write land at the end even after the file
/// was shortened by a rotation, and lets several processes share it.
pub(crate) fn open_log(spec: &Spec) -> Result<File, StartError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&spec.log_file)
        .map_err(|source| StartError::Log { path: spec.log_file.clone(), source })
}

/// Starts the program of `spec`.
///
/// - Its own process group: Ctrl-C at the terminal of whoever started us never reaches it.
/// - No input, and output straight into the log file: there is no pipe that could break or fill up when we end.
/// - A clean environment: only the basics and what the spec says.
/// - No descriptor of ours: the standard library and rustix open all of them close-on-exec.
pub(crate) fn spawn(spec: &Spec) -> Result<Child, StartError> {
    let (program, arguments) = spec.argv.split_first().ok_or(StartError::NoProgram)?;
    if !spec.cwd.is_dir() {
        return Err(StartError::NoFolder { folder: spec.cwd.clone() });
    }
    let output = open_log(spec)?;
    let errors = output.try_clone().map_err(|source| StartError::Log { path: spec.log_file.clone(), source })?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&spec.cwd).env_clear();
    for (name, fallback) in BASICS {
        command.env(name, std::env::var_os(name).unwrap_or_else(|| fallback.into()));
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value.expose_secret())));
    command.env(INSTANCE_VARIABLE, &spec.instance);
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    command.spawn().map_err(|source| classify(program, source))
}

fn classify(program: &str, source: io::Error) -> StartError {
    let program = program.to_owned();
    let system = [rustix::io::Errno::NOEXEC, rustix::io::Errno::ISDIR, rustix::io::Errno::NOTDIR];
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => StartError::Program { program, source },
        _ if system.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) => {
            StartError::Program { program, source }
        }
        _ => StartError::System { program, source },
    }
}
