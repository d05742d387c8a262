//! What a panel shows, for spreadsheets and programs.

use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Dashboard;
use super::overview::unknown;
use super::panels::Panel;
use crate::door::person::Person;
use crate::server::Refused;

/// `GET /export/KEY.csv`, `GET /export/KEY.json`
pub(crate) async fn panel(
    State(dashboard): State<Dashboard>,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
    person: Person,
) -> Result<Response, Refused> {
    let (name, kind) = file.rsplit_once('.').ok_or_else(|| unknown(&file))?;
    let panel = Panel::sought(name, query.as_deref(), &person)?;
    let table = panel.show(&dashboard).await.table;
    let (kind, body) = match kind {
        "csv" => ("text/csv; charset=utf-8", table.csv()),
        "json" => ("application/json", table.json().to_string()),
        _ => return Err(unknown(&file)),
    };
    let saved = format!("attachment; filename=\"{}\"", file.replace('/', "-"));
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, saved)], body).into_response())
}
