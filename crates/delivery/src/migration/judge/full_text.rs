//! `CREATE VIRTUAL TABLE … USING fts5`. What it searches is new, so it may be made in any way; what may be put into it by a trigger on a
//! table of the running version is another question (`feeding`).

use super::{Context, Judgement};
use crate::migration::text::FullText;
use crate::migration::verdict::Allowance;

pub(super) fn create(context: Context<'_>, create: &FullText) -> Judgement {
    context.name(&create.name)?;
    Ok(Allowance::NewObject)
}
