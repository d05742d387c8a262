//! The table, drawn.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::table::{Row, TABLE, To, back, entry};
use super::{EffectKind, Stage};

/// The transitions of every rollout, to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Graph {
    rows: &'static [Row],
}

/// What `mana rollout graph` shows.
pub fn graph() -> Graph {
    Graph { rows: TABLE }
}

impl Graph {
    /// As two Markdown tables: the stages with what each asks for, and the transitions.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = self.write_text(&mut text);
        text
    }

    /// In the language of Graphviz: `mana rollout graph --dot | dot -Tsvg`.
    pub fn dot(&self) -> String {
        let mut dot = String::new();
        let _ = self.write_dot(&mut dot);
        dot
    }

    fn write_text(&self, to: &mut impl Write) -> fmt::Result {
        writeln!(
            to,
            "| stage | what happens | asks for at its beginning | its way back begins with |\n|---|---|---|---|"
        )?;
        for stage in Stage::ALL {
            let back = list(back(*stage).iter().map(|stage| stage.name().to_owned()));
            writeln!(to, "| {stage} | {} | {} | {back} |", stage.about(), effects(entry(*stage)))?;
        }
        writeln!(to, "\n| in | on | to | asks for | when |\n|---|---|---|---|---|")?;
        for row in self.rows {
            let from = list(row.from.iter().map(|stage| stage.name().to_owned()));
            let on = list(row.on.iter().map(|on| on.name().to_owned()));
            let targets = list(row.to.iter().copied().map(name));
            writeln!(to, "| {from} | {on} | {targets} | {} | {} |", effects(row.asks), row.when)?;
        }
        Ok(())
    }

    fn write_dot(&self, to: &mut impl Write) -> fmt::Result {
        writeln!(to, "digraph rollout {{\n  rankdir=TB;\n  node [shape=box, style=rounded];")?;
        for stage in Stage::ALL {
            let shape = if stage.is_final() { ", peripheries=2" } else { "" };
            writeln!(to, "  \"{stage}\" [tooltip=\"{}\"{shape}];", stage.about())?;
        }
        for ((from, target), on) in self.edges() {
            writeln!(to, "  \"{from}\" -> \"{target}\" [label=\"{}\"];", on.join("\\n"))?;
        }
        writeln!(to, "}}")
    }

    /// From where to where, and on what.
    pub fn edges(&self) -> BTreeMap<(Stage, Stage), Vec<&'static str>> {
        let mut edges: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.rows {
            for from in row.from {
                for target in row.to.iter().flat_map(|to| to.targets(*from)) {
                    let labels = edges.entry((*from, target)).or_default();
                    for on in row.on {
                        if !labels.contains(&on.name()) {
                            labels.push(on.name());
                        }
                    }
                }
            }
        }
        edges
    }
}

fn name(to: To) -> String {
    match to {
        To::Next => "the next stage".to_owned(),
        To::Stay => "(stays)".to_owned(),
        To::There => "where it was stopped, or the next".to_owned(),
        To::Back => "the way back".to_owned(),
        To::End => "aborted, rolled-back or superseded".to_owned(),
        To::Stage(stage) => stage.name().to_owned(),
    }
}

fn effects(kinds: &[EffectKind]) -> String {
    list(kinds.iter().map(|kind| format!("{kind:?}")))
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_has_every_stage_and_every_way() {
        let dot = graph().dot();
        for stage in Stage::ALL {
            assert!(dot.contains(&format!("  \"{stage}\" [")), "{stage}");
        }
        assert!(dot.contains(r#""canary" -> "held" [label="pass\nno data, inconclusive\nenvironment"#), "{dot}");
        assert!(dot.contains(r#""queued" -> "green-starting" [label="its turn"];"#));
        assert_eq!(dot.lines().filter(|line| line.contains("->")).count(), graph().edges().len());
    }

    #[test]
    fn every_stage_but_the_first_is_led_to_and_no_stage_is_a_dead_end_but_one() {
        let edges = graph().edges();
        for stage in Stage::ALL {
            let leads = edges.keys().any(|(from, to)| from == stage && to != stage);
            let led = edges.keys().any(|(from, to)| to == stage && from != stage);
            assert_eq!(leads, *stage != Stage::Superseded, "{stage}");
            assert_eq!(led, *stage != Stage::Queued, "{stage}");
        }
    }
}
