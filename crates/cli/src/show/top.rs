//! What takes the machine's processor and memory, the greatest first.

use clap::ValueEnum;
use jiff::Timestamp;
use mana_control::api::Status;
use serde::Serialize;

use super::progress::{tone, word};
use super::style::{Style, Tone};
use super::table::{self, Cell, Column};
use super::units;

const COLUMNS: [Column; 7] = [
    Column::text("SERVICE", 0),
    Column::number("CPU", 0),
    Column::number("MEMORY", 0),
    Column::number("RESTARTS", 1),
    Column::number("UP", 2),
    Column::number("PID", 3),
    Column::text("STATE", 0),
];

/// What the rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The busiest first.
    Cpu,
    /// The largest first.
    Memory,
    /// The most often restarted first.
    Restarts,
    /// By name.
    Name,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    service: String,
    instance: String,
    phase: String,
    pid: Option<u32>,
    cpu: Option<f64>,
    memory_bytes: Option<u64>,
    restarts: u32,
    started_at: Option<String>,
    #[serde(skip)]
    state: Cell,
}

/// The instances in order; those that measure the same stand by name.
pub(crate) fn rows(status: &Status, order: Order) -> Vec<Row> {
    let mut rows: Vec<Row> = status
        .services
        .iter()
        .flat_map(|service| service.instances.iter().map(move |instance| (service, instance)))
        .map(|(service, instance)| Row {
            service: service.name.clone(),
            instance: instance.id.clone(),
            phase: instance.phase.clone(),
            pid: instance.pid,
            cpu: instance.cpu,
            memory_bytes: instance.memory_bytes,
            restarts: instance.restarts,
            started_at: instance.started_at.clone().filter(|_| instance.pid.is_some()),
            state: Cell::toned(tone(service.state), word(service.state)),
        })
        .collect();
    rows.sort_by(|one, other| {
        let measure = match order {
            Order::Cpu => other.cpu.unwrap_or(-1.0).total_cmp(&one.cpu.unwrap_or(-1.0)),
            Order::Memory => other.memory_bytes.cmp(&one.memory_bytes),
            Order::Restarts => other.restarts.cmp(&one.restarts),
            Order::Name => std::cmp::Ordering::Equal,
        };
        measure.then_with(|| one.service.cmp(&other.service)).then_with(|| one.instance.cmp(&other.instance))
    });
    rows
}

/// The rows as a table with their sum above.
pub(crate) fn lines(
    rows: &[Row],
    now: Timestamp,
    style: Style,
    width: Option<usize>,
    height: Option<usize>,
) -> Vec<String> {
    /// The sum, the empty line, the headings, and the line that says how many are hidden.
    const OTHER_LINES: usize = 4;
    // Folded, since the sum of nothing is -0.0.
    let cpu = rows.iter().filter_map(|row| row.cpu).fold(0.0, |sum, cpu| sum + cpu);
    let memory: u64 = rows.iter().filter_map(|row| row.memory_bytes).sum();
    let restarts: u32 = rows.iter().map(|row| row.restarts).sum();
    let sum = format!(
        "{}   {} of one core   {}   {}",
        units::count(rows.len(), "instance"),
        units::cpu(cpu),
        units::bytes(memory),
        units::count(usize::try_from(restarts).unwrap_or(usize::MAX), "restart")
    );
    let room = height.map_or(rows.len(), |height| height.saturating_sub(OTHER_LINES).max(1)).min(rows.len());
    let cells: Vec<Vec<Cell>> = rows[..room].iter().map(|row| row.cells(now)).collect();
    let mut lines = vec![style.paint(Tone::Strong, &sum), String::new()];
    lines.extend(table::lines(&COLUMNS, &cells, style, width));
    if room < rows.len() {
        lines.push(style.paint(Tone::Faint, &format!("and {} more", rows.len() - room)));
    }
    lines
}

impl Row {
    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let up = self.started_at.as_deref().and_then(|at| units::since(at, now));
        vec![
            self.service.as_str().into(),
            self.cpu.map(units::cpu).unwrap_or_default().into(),
            self.memory_bytes.map(units::bytes).unwrap_or_default().into(),
            self.restarts.to_string().into(),
            up.map(units::duration).unwrap_or_default().into(),
            self.pid.map(|pid| pid.to_string()).unwrap_or_default().into(),
            self.state.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::{now, unwell, well};
    use super::*;

    fn first(order: Order) -> String {
        rows(&unwell(), order).first().expect("a row").service.clone()
    }

    #[test]
    fn rows_stand_in_the_order_asked_for() {
        assert_eq!(rows(&well(), Order::Cpu).first().expect("a row").cpu, Some(0.5));
        assert_eq!(first(Order::Cpu), "ai-echo", "by name where the measure is the same");
        assert_eq!(first(Order::Restarts), "chat-backend");
        assert_eq!(first(Order::Name), "ai-echo");
        let last = rows(&unwell(), Order::Memory).pop().expect("a row");
        assert_eq!(last.memory_bytes, None, "what is not running is last");
    }

    #[test]
    fn the_table_has_a_sum() {
        insta::assert_snapshot!(lines(&rows(&unwell(), Order::Cpu), now(), Style::PLAIN, None, None).join("\n"));
    }

    #[test]
    fn a_low_terminal_says_how_many_are_hidden() {
        let lines = lines(&rows(&well(), Order::Cpu), now(), Style::PLAIN, Some(60), Some(7));
        insta::assert_snapshot!(lines.join("\n"));
        assert!(lines.len() <= 7);
    }
}
