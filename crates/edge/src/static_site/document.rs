//! A file as clients know it: what its name says of it, and the forms in which it lies beside itself.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use http::header::HeaderValue;

use super::file::{self, Opened, Opening};
use super::kept::Folder;
use super::negotiate::{self, FORMS};
use crate::compress::{Accepted, Coding};

pub(super) struct Document {
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: HeaderValue,
    /// It may be sent in a smaller form.
    pub(super) compressible: bool,
    pub(super) plain: Rc<Opened>,
    /// In the order of [`FORMS`].
    forms: RefCell<[Form; FORMS.len()]>,
}

/// A smaller form of a file.
#[derive(Clone, Default)]
enum Form {
    #[default]
    Unknown,
    Missing,
    There(Rc<Opened>),
}

impl Document {
    pub(super) fn new(name: &Path, plain: Opened) -> Self {
        Self {
            content_type: negotiate::content_type(name),
            cache_control: negotiate::cache_control(name),
            compressible: negotiate::is_compressible(name),
            plain: Rc::new(plain),
            forms: RefCell::default(),
        }
    }

    /// The precompressed file beside it that the client likes best.
    pub(super) fn form(&self, folder: &Folder, name: &Path, accepted: Accepted) -> Option<(Coding, Rc<Opened>)> {
        accepted.codings(FORMS).find_map(|coding| {
            let at = FORMS.iter().position(|form| *form == coding)?;
            let form = &mut self.forms.borrow_mut()[at];
            match form {
                Form::Missing => return None,
                Form::There(opened) if opened.is_current() => return Some((coding, Rc::clone(opened))),
                Form::There(_) | Form::Unknown => {}
            }
            let mut beside = PathBuf::from(name).into_os_string();
            beside.push(negotiate::suffix(coding));
            let opened = match file::open(&folder.handle, Path::new(&beside)) {
                Ok(Some(Opening::File(opened))) => Some(Rc::new(opened.in_form(coding))),
                Ok(Some(Opening::Folder) | None) => None,
                // The plain file does as well; whether there is this form is still to be found out.
                Err(_) => return None,
            };
            *form = match (&opened, &form) {
                (None, _) => Form::Missing,
                (Some(opened), Form::There(_)) => Form::There(Rc::clone(opened)),
                (Some(opened), _) if folder.takes() => Form::There(Rc::clone(opened)),
                (Some(_), _) => Form::Unknown,
            };
            opened.map(|opened| (coding, opened))
        })
    }
}
