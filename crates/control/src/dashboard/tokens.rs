//! What the forms of tokens do: the same calls that the API makes. Tokens stand on the page of operators.

use axum::extract::{Path, State};
use axum::response::{Redirect, Response};

use super::Dashboard;
use super::fields::Fields;
use super::operators::{Told, confirmed, shown};
use super::pages::{Frame, NoPage};
use crate::api::{MadeToken, NewToken, Scope};
use crate::door::person::Person;
use crate::server::{Refused, ask, problem};
use crate::supervisor::Call;

/// `POST /tokens`
pub(crate) async fn make(
    State(dashboard): State<Dashboard>,
    person: Person,
    frame: Frame,
    fields: Fields,
) -> Result<Response, NoPage> {
    let request = meant(&fields)?;
    confirmed(&dashboard, &person, &fields).await?;
    let MadeToken { token, view } = ask(&dashboard.app, |reply| Call::MakeToken { request, reply }).await?;
    dashboard.panels.forget();
    let text = format!("The token {}. It is shown this once; whoever has it is let in.", view.name);
    Ok(shown(&dashboard, &person, frame, Some(Told::new(text, token))).await)
}

/// `POST /tokens/{name}/revoke`
pub(crate) async fn revoke(State(dashboard): State<Dashboard>, Path(name): Path<String>) -> Result<Redirect, NoPage> {
    ask(&dashboard.app, |reply| Call::RemoveToken { name, reply }).await?;
    dashboard.panels.forget();
    Ok(Redirect::to("/operators"))
}

fn meant(fields: &Fields) -> Result<NewToken, Refused> {
    let unsaid = |why: String| Refused(problem(422, "this was not done", why));
    let scope =
        |name: String| Scope::named(&name).ok_or_else(|| unsaid(format!("`{name}` is nothing that a token is for")));
    let scopes = fields.all("scopes").into_iter().map(scope).collect::<Result<_, _>>()?;
    let days = match fields.text("days") {
        "" => None,
        text => Some(text.parse::<u16>().map_err(|_| unsaid(format!("`{text}` is no number of days")))?),
    };
    Ok(NewToken { name: fields.text("name").to_owned(), scopes, days })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_token_is_asked_for_as_the_api_takes_it() {
        let read = |form: &str| meant(&Fields::of(form)).ok();
        let token = |scopes: &[Scope], days| {
            let scopes = scopes.iter().copied().collect::<BTreeSet<_>>();
            Some(NewToken { name: "ci".into(), scopes, days })
        };
        assert_eq!(read("name=+ci+&scopes=deploy&scopes=read&days=90"), token(&[Scope::Read, Scope::Deploy], Some(90)));
        // What it is for is asked by the call.
        assert_eq!(read("name=ci&days="), token(&[], None));
        for form in ["name=ci&scopes=manage", "name=ci&scopes=read&days=soon", "name=ci&scopes=read&days=70000"] {
            assert_eq!(read(form), None, "{form}");
        }
    }
}
