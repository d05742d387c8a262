//! Panels that are being made while the page around them is on its way: whoever opens it sees its frame at once, and its panels one
//! after the other as they are there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::response::{Html, IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Dashboard;
use super::pages::unwritten;
use super::panels::{Panel, Shown};

/// How long a page waits for its panels: what takes longer shows up later by itself.
const PATIENCE: Duration = Duration::from_millis(120);

/// Where a panel comes in the template of its page. No text that is put there looks like it: its `<` is written otherwise.
const GAP: &str = "<!--panel-->";

/// Panels of a page, being made side by side. What is not there in time goes on being made, for whoever asks next.
pub(super) struct Coming {
    panels: VecDeque<(Panel, JoinHandle<Shown>)>,
    until: Instant,
}

/// A panel in its page, with what tells its state from others.
#[derive(Template)]
#[template(path = "dashboard/panel.html")]
struct PanelBody {
    panel: Panel,
    shown: Option<Shown>,
}

impl Coming {
    /// Begins with them.
    pub(super) fn begin(dashboard: &Dashboard, panels: Vec<Panel>) -> Self {
        let begin = |panel: Panel| {
            let (dashboard, asked) = (dashboard.clone(), panel.clone());
            (panel, tokio::spawn(async move { asked.show(&dashboard).await }))
        };
        Self { panels: panels.into_iter().map(begin).collect(), until: Instant::now() + PATIENCE }
    }

    /// Which they are, in their order.
    pub(super) fn names(&self) -> Vec<Panel> {
        self.panels.iter().map(|(panel, _)| panel.clone()).collect()
    }

    /// A page, whose template has a gap for each of them.
    pub(super) fn in_page(self, template: &impl Template) -> Response {
        let page = match template.render() {
            Ok(page) if page.matches(GAP).count() == self.panels.len() => page,
            Ok(_) => return unwritten("its template has another number of panels"),
            Err(error) => return unwritten(&error.to_string()),
        };
        let mut pieces: VecDeque<Bytes> =
            page.split(GAP).map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
        let first = pieces.pop_front();
        let rest = stream::unfold((self, pieces), async |(mut coming, mut pieces)| {
            let (panel, piece) = (coming.next().await?, pieces.pop_front()?);
            Some(([panel, piece], (coming, pieces)))
        });
        let whole = stream::iter(first).chain(rest.map(stream::iter).flatten()).map(Ok::<_, Infallible>);
        Html(Body::from_stream(whole)).into_response()
    }

    async fn next(&mut self) -> Option<Bytes> {
        let (panel, shown) = self.panels.pop_front()?;
        let shown = timeout_at(self.until, shown).await.ok().and_then(Result::ok);
        let body = PanelBody { panel, shown }.render();
        Some(Bytes::from(body.unwrap_or_else(|error| {
            tracing::error!(%error, "a panel cannot be written");
            String::new()
        })))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[derive(Template)]
    #[template(source = "<h1>A page</h1><!--panel--><hr><!--panel-->the end", ext = "html")]
    struct Page;

    fn shown(html: &str) -> Shown {
        Shown { html: html.into(), table: std::sync::Arc::default() }
    }

    #[tokio::test]
    async fn a_page_is_there_before_its_panels_and_what_takes_too_long_is_said_to_come_later() {
        let (give, given) = tokio::sync::oneshot::channel();
        let panels = VecDeque::from([
            (Panel::Health, tokio::spawn(async { given.await.expect("given") })),
            (Panel::Services, tokio::spawn(std::future::pending())),
        ]);
        let coming = Coming { panels, until: Instant::now() + PATIENCE };
        let response = coming.in_page(&Page);
        assert_eq!(response.status(), StatusCode::OK);
        let mut pieces = response
            .into_body()
            .into_data_stream()
            .map(|piece| String::from_utf8(piece.expect("a piece").into()).expect("text"));
        assert_eq!(pieces.next().await.as_deref(), Some("<h1>A page</h1>"), "though no panel is made yet");
        give.send(shown("<p>all is well</p>")).expect("waited for");
        let rest: String = pieces.collect().await;
        let (first, second) = rest.split_once("<hr>").expect("what stands between");
        assert!(first.contains("<p>all is well</p></div>") && first.contains("data-live=\"health~"), "{first}");
        assert!(second.contains("data-live=\"services~\"") && second.contains("Being measured"), "{second}");
        assert!(second.ends_with("the end"), "{second}");
    }

    #[tokio::test]
    async fn a_template_that_has_no_place_for_a_panel_is_no_page() {
        let coming = Coming { panels: VecDeque::new(), until: Instant::now() };
        assert_eq!(coming.in_page(&Page).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
