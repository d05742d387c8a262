//! Reading a value that nobody looking over the shoulder, no shell history and no process list should learn.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

/// Longest secret: a key file fits, a mistaken `< video.mp4` does not.
const MAX_BYTES: usize = 64 * 1024;

/// What came of it.
pub(crate) enum Input {
    /// The value, without its line end.
    Value(SecretString),
    /// Ctrl-C.
    Interrupted,
    /// Longer than [`MAX_BYTES`], or not UTF-8.
    Unusable(String),
}

/// From standard input: to its end where it is a pipe or a file, else one line typed unseen.
pub(crate) fn read(prompt: &str) -> io::Result<Input> {
    if io::stdin().is_terminal() { typed(prompt) } else { piped(&mut io::stdin().lock()) }
}

fn piped(input: &mut impl Read) -> io::Result<Input> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(value(bytes))
}

fn value(bytes: Vec<u8>) -> Input {
    if bytes.len() > MAX_BYTES {
        return Input::Unusable(format!("it is longer than {MAX_BYTES} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Input::Unusable("it is empty".into()),
        Ok(text) => Input::Value(SecretString::from(text)),
        Err(_) => Input::Unusable("it is not UTF-8 text; encode it, as base64 for instance".into()),
    }
}

/// The terminal without echo; as before when dropped.
struct Unseen(Termios);

impl Unseen {
    /// Signals are turned off too: a Ctrl-C that ended the process here would leave the terminal without echo.
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn typed(prompt: &str) -> io::Result<Input> {
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let unseen = Unseen::begin()?;
    let typed = line(&mut io::stdin().lock());
    drop(unseen);
    writeln!(stderr)?;
    Ok(typed?.map_or(Input::Interrupted, value))
}

/// One line of keys; `None` for Ctrl-C.
fn line(keys: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    const CTRL_C: u8 = 0x03;
    const CTRL_D: u8 = 0x04;
    const CTRL_U: u8 = 0x15;
    const BACKSPACE: [u8; 2] = [0x08, 0x7f];
    let mut line = Vec::new();
    let mut key = [0];
    while line.len() <= MAX_BYTES && keys.read(&mut key)? == 1 {
        match key[0] {
            b'\r' | b'\n' | CTRL_D => break,
            CTRL_C => return Ok(None),
            CTRL_U => line.clear(),
            key if BACKSPACE.contains(&key) => {
                // One character of UTF-8, which may be several bytes.
                while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
            }
            key => line.push(key),
        }
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn text(input: Input) -> Result<String, String> {
        match input {
            Input::Value(value) => Ok(value.expose_secret().to_owned()),
            Input::Interrupted => Err("interrupted".into()),
            Input::Unusable(why) => Err(why),
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_without_the_last_line_end() {
        let cases: [(&[u8], Result<&str, &str>); 6] = [
            (b"abc\n", Ok("abc")),
            (b"abc\r\n", Ok("abc")),
            (b"two\nlines\n\n", Ok("two\nlines\n")),
            (b"none", Ok("none")),
            (b"\n", Err("it is empty")),
            (b"\xff", Err("it is not UTF-8 text; encode it, as base64 for instance")),
        ];
        for (bytes, expected) in cases {
            let got = text(piped(&mut &*bytes).expect("readable"));
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{bytes:?}");
        }
        let long = vec![b'x'; MAX_BYTES + 1];
        assert!(text(piped(&mut &*long).expect("readable")).is_err());
    }

    #[test]
    fn keys_edit_the_line_unseen() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"abc\nrest", Some("abc")),
            (b"abd\x7fc\r", Some("abc")),
            ("aé\u{7f}b\n".as_bytes(), Some("ab")),
            (b"wrong\x15right\n", Some("right")),
            (b"abc\x03", None),
            (b"\x7f\x7fa\x04", Some("a")),
        ];
        for (keys, expected) in cases {
            let got = line(&mut &*keys).expect("readable").map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
            assert_eq!(got.as_deref(), expected, "{keys:?}");
        }
    }
}
