//! Where everything answers: the end of `mana up`.

use mana_control::api::Status;

use super::style::{Style, Tone};
use super::table::{self, Cell, Column};

const COLUMNS: [Column; 3] = [Column::text("", 0), Column::text("", 0), Column::text("", 0)];

/// Addresses by project and kind, in the order of the manifest. Services nobody outside reaches are marked as such.
pub(crate) fn lines(status: &Status, style: Style, width: Option<usize>) -> Vec<String> {
    let mut projects: Vec<&str> = Vec::new();
    for service in status.services.iter().filter(|service| service.kind != "edge") {
        if !projects.contains(&service.project.as_str()) {
            projects.push(&service.project);
        }
    }
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for project in projects {
        let services = status.services.iter().filter(|service| service.project == project && service.kind != "edge");
        for (index, service) in services.enumerate() {
            let name = if index == 0 { Cell::toned(Tone::Strong, project) } else { Cell::default() };
            let address = match (&service.public_url, &service.internal_url) {
                (Some(url), _) => Cell::toned(Tone::Name, url.as_str()),
                (None, Some(url)) => Cell::toned(Tone::Faint, format!("{url} (internal)")),
                (None, None) => Cell::toned(Tone::Faint, "no address"),
            };
            rows.push(vec![name, service.kind.as_str().into(), address]);
        }
    }
    let mut lines = table::lines(&COLUMNS, &rows, style, width);
    lines.remove(0);
    lines.iter().map(|line| format!("  {line}")).collect()
}

/// The commands that come next; each begins with `mana` and the flags this ecosystem needs.
pub(crate) fn next_commands(mana: &str, status: &Status, style: Style) -> Vec<String> {
    let app = status.services.iter().find(|service| service.kind == "web");
    let mut rows = vec![("status".to_owned(), "desired against actual")];
    if let Some(app) = app {
        rows.push((format!("logs {} -f", app.name), "follows the log of one service"));
        rows.push(("open".to_owned(), "opens the app in a browser"));
    }
    rows.push(("down".to_owned(), "stops everything"));
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let line =
        |(command, about): &(String, &str)| format!("  {mana} {command:<width$}   {}", style.paint(Tone::Faint, about));
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::well;
    use super::*;

    #[test]
    fn addresses_stand_by_project_and_kind() {
        insta::assert_snapshot!(lines(&well(), Style::PLAIN, None).join("\n"));
    }

    #[test]
    fn next_commands_carry_the_flags_of_this_ecosystem() {
        insta::assert_snapshot!(next_commands("mana --env staging", &well(), Style::PLAIN).join("\n"));
    }
}
