//! A screen that is drawn again and again until Ctrl-C.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Output;

/// Takes the terminal's other screen, and gives the first one back however this ends.
struct Screen;

impl Screen {
    const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
    const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

    fn enter(output: &mut Output) -> Result<Self, Failure> {
        output.text(Self::ENTER)?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to tell when the terminal itself is gone.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), Self::LEAVE.as_bytes());
        let _ = std::io::Write::flush(&mut std::io::stdout());
    }
}

/// Draws every `interval` until Ctrl-C, with the exit code of the last picture. Where nothing can be redrawn the pictures
/// follow one another.
pub(crate) async fn until_interrupted(
    output: &mut Output,
    interval: Duration,
    picture: impl AsyncFn(&Output) -> Result<(Vec<String>, Exit), Failure>,
) -> Result<Exit, Failure> {
    let screen = output.abilities.live.then(|| Screen::enter(output)).transpose()?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Exit::Ok;
    while !output.closed() {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
            _ = ticks.tick() => {}
        }
        let (lines, exit) = picture(output).await?;
        last = exit;
        if screen.is_some() {
            let height = output.height().unwrap_or(usize::MAX).saturating_sub(1);
            let rows: Vec<String> = lines.iter().take(height).map(|line| format!("{line}\u{1b}[K")).collect();
            output.text(&format!("\u{1b}[H{}\n\u{1b}[J", rows.join("\n")))?;
        } else {
            output.lines(&lines)?;
            output.line("")?;
        }
    }
    Ok(last)
}
