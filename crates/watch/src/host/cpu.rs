//! `/proc/stat`: what the processors did, see proc_stat(5).

use std::collections::BTreeMap;

use super::{next_number, number};
use crate::gather::{Sink, Strange};

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
/// A processor whose idle time falls by more than this was taken out and put back in, and counts anew.
const ANEW_SECONDS: f64 = 3.0;

/// What each processor had done when last looked at.
#[derive(Debug, Default)]
pub struct Cpus(BTreeMap<u32, [f64; MODES.len()]>);

impl Cpus {
    /// Values of the text of `/proc/stat`. The kernel lets idle and I/O wait fall a little now and then; a counter that falls would read as
    /// one that began anew, so such a fall is held back until it is made up for.
    ///
    /// # Errors
    /// A line of an unknown form; what stands before it was put.
    pub fn stat(&mut self, text: &str, ticks_per_second: f64, sink: &mut dyn Sink) -> Result<(), Strange> {
        let mut cores = 0.0;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(first) = words.next() else { continue };
            let plain = match first {
                "intr" => Some("node_intr_total"),
                "ctxt" => Some("node_context_switches_total"),
                "btime" => Some("node_boot_time_seconds"),
                "processes" => Some("node_forks_total"),
                "procs_running" => Some("node_procs_running"),
                "procs_blocked" => Some("node_procs_blocked"),
                _ => None,
            };
            if let Some(name) = plain {
                sink.put(name, &[], next_number(&mut words, line)?);
            } else if let Some(cpu) = first.strip_prefix("cpu").filter(|cpu| !cpu.is_empty()) {
                self.processor(cpu, line, ticks_per_second, sink)?;
                cores += 1.0;
            }
        }
        if cores == 0.0 {
            return Err(Strange::new(text.lines().next().unwrap_or_default()));
        }
        sink.put("machine_cpu_cores", &[], cores);
        Ok(())
    }

    fn processor(&mut self, cpu: &str, line: &str, ticks: f64, sink: &mut dyn Sink) -> Result<(), Strange> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let mut seconds = [0.0; MODES.len()];
        // Kernels from before 2.6.11 lack the last ones.
        for second in &mut seconds {
            *second = next_number(&mut words, line)? / ticks;
        }
        let number_of = cpu.parse().map_err(|_| Strange::new(line))?;
        let last = self.0.entry(number_of).or_insert(seconds);
        let anew = last[IDLE] - seconds[IDLE] > ANEW_SECONDS;
        for ((mode, last), now) in MODES.iter().zip(last.iter_mut()).zip(seconds) {
            *last = if anew { now } else { now.max(*last) };
            sink.put("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], *last);
        }
        // Part of user and nice.
        for (mode, word) in ["user", "nice"].iter().zip(words) {
            sink.put("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], number(word)? / ticks);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    fn idle(cpus: &mut Cpus, ticks: u32) -> f64 {
        let text = format!("cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 1 1 1 {ticks} 1 1 1 1 0 0\n");
        let found = Found::by(|sink| cpus.stat(&text, 100.0, sink).expect("values"));
        found.get("node_cpu_seconds_total", &[("cpu", "0"), ("mode", "idle")]).expect("idle")
    }

    #[test]
    fn a_small_fall_is_held_back_and_a_large_one_is_a_new_processor() {
        let mut cpus = Cpus::default();
        let seen = [1_000, 998, 1_001, 5].map(|ticks| idle(&mut cpus, ticks).to_string());
        assert_eq!(seen, ["10", "10", "10.01", "0.05"]);
    }

    #[test]
    fn a_text_without_processors_is_strange() {
        for text in ["", "ctxt 5\n", "cpu0 1 2 x 4 5 6 7 8\n", "cpu0 1 2\n", "cpux 1 2 3 4 5 6 7 8\n"] {
            let mut cpus = Cpus::default();
            assert!(cpus.stat(text, 100.0, &mut Found::default()).is_err(), "{text}");
        }
    }
}
