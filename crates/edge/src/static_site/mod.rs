//! Files below a folder, as a web server gives them out.
//!
//! Invariant: nothing outside the folder is ever opened. Names are checked ([`path`]), and the kernel resolves them
//! beneath the folder's handle (`openat2` with `RESOLVE_BENEATH`), so that a symbolic link, whenever it was made, leads
//! nowhere else.

mod document;
mod file;
mod kept;
mod negotiate;
pub(crate) mod path;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::answer::Fault;
use crate::body::Body;
use crate::compress::{Accepted, Coding};
use crate::range::{self, Range};
use crate::table::Site;
use document::Document;
use file::Opened;
use kept::{Folder, Found};

pub(crate) use file::{FileBody, PIECE_BYTES};
pub(crate) use kept::Kept;

/// Files up to this are read at once, on the worker: they are in the page cache, and a copy of this size costs less
/// than a trip to another thread. Larger ones are streamed from the blocking pool.
const MAX_INLINE_BYTES: u64 = 64 * 1024;

/// Headers that an answer with a file has, its length and the request's id among them: room for them is made once.
const SAID_HEADERS: usize = 10;

/// Answers with a file. `below` is the request's path below the route's prefix.
pub(crate) fn serve(site: &Site, below: &str, parts: &Parts, kept: &Kept) -> Result<Response<Body>, Fault> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Fault::MethodNotAllowed);
    }
    let folder = kept.folder(&site.root).map_err(|error| {
        tracing::warn!(root = %site.root.display(), %error, "site's folder cannot be opened");
        Fault::FilesUnreadable
    })?;
    let Some(name) = path::file_name(below) else { return not_found(site, &folder, parts) };
    if let Some(answer) = of_other_version(site, &folder, &name, parts, kept)? {
        return Ok(answer);
    }
    match find(&folder, &name)? {
        // A file has nothing below it, and links in it would lead elsewhere than its author meant.
        Some(Found::File(_)) if parts.uri.path().ends_with('/') => not_found(site, &folder, parts),
        Some(Found::File(document)) => send(&folder, &name, &document, parts),
        Some(Found::Folder) if !parts.uri.path().ends_with('/') => Ok(to_folder(parts)),
        Some(Found::Folder) => {
            let index = name.join("index.html");
            match find(&folder, &index)? {
                Some(Found::File(document)) => send(&folder, &index, &document, parts),
                _ => not_found(site, &folder, parts),
            }
        }
        None => not_found(site, &folder, parts),
    }
}

/// What only the version beside this one has.
fn of_other_version(
    site: &Site,
    folder: &Folder,
    name: &Path,
    parts: &Parts,
    kept: &Kept,
) -> Result<Option<Response<Body>>, Fault> {
    let Some(beside) = &site.beside else { return Ok(None) };
    // A page that this version does not have any more is gone.
    if negotiate::is_page(name) || parts.uri.path().ends_with('/') || find(folder, name)?.is_some() {
        return Ok(None);
    }
    let opened = kept
        .folder(beside)
        .map_err(|error| tracing::warn!(root = %beside.display(), %error, "the folder of the version beside"));
    // Without it, it is as if there were no other version.
    let Ok(other) = opened else { return Ok(None) };
    match find(&other, name)? {
        Some(Found::File(document)) => send(&other, name, &document, parts).map(Some),
        Some(Found::Folder) | None => Ok(None),
    }
}

fn find(folder: &Folder, name: &Path) -> Result<Option<Found>, Fault> {
    folder.find(name).map_err(|error| {
        tracing::warn!(%error, "a site's file cannot be opened");
        Fault::FilesUnreadable
    })
}

/// A folder's own address ends with a slash: relative links in its index would else lead beside it.
fn to_folder(parts: &Parts) -> Response<Body> {
    let mut to = format!("{}/", parts.uri.path());
    if let Some(query) = parts.uri.query() {
        to.push('?');
        to.push_str(query);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(to) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn not_found(site: &Site, folder: &Folder, parts: &Parts) -> Result<Response<Body>, Fault> {
    let page = site.not_found.as_deref().map(Path::new).ok_or(Fault::NotFound)?;
    let Some(Found::File(document)) = find(folder, page)? else { return Err(Fault::NotFound) };
    let length = document.plain.length();
    let mut response = Response::new(content(&document.plain, 0, length, parts)?);
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, document.content_type.clone());
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn send(folder: &Folder, name: &Path, document: &Document, parts: &Parts) -> Result<Response<Body>, Fault> {
    // A range counts bytes of what is sent; keeping to the plain file makes resumed downloads simple.
    let wants_range = parts.headers.contains_key(header::RANGE);
    let form = if document.compressible && !wants_range {
        document.form(folder, name, Accepted::read(&parts.headers))
    } else {
        None
    };
    let (coding, opened) = match form {
        Some((coding, opened)) => (Some(coding), opened),
        None => (None, Rc::clone(&document.plain)),
    };
    let validators = &opened.validators;
    let mut response = if validators.are_current(&parts.headers) {
        status_only(StatusCode::NOT_MODIFIED)
    } else {
        match range::asked(&parts.headers, opened.length(), validators) {
            Range::Whole => whole(&opened, parts)?,
            Range::Part { from, length } => part(&opened, from, length, parts)?,
            Range::Unsatisfiable => range::unsatisfiable(opened.length()),
        }
    };
    describe(response.headers_mut(), document, coding, &opened);
    Ok(response)
}

/// What is said of a file, whatever of it is sent.
fn describe(headers: &mut HeaderMap, document: &Document, coding: Option<Coding>, opened: &Opened) {
    headers.insert(header::CONTENT_TYPE, document.content_type.clone());
    headers.insert(header::CACHE_CONTROL, document.cache_control.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = &opened.validators.etag {
        headers.insert(header::ETAG, etag.clone());
    }
    if let Some(modified) = &opened.last_modified {
        headers.insert(header::LAST_MODIFIED, modified.clone());
    }
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if document.compressible {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn whole(opened: &Rc<Opened>, parts: &Parts) -> Result<Response<Body>, Fault> {
    let length = opened.length();
    let mut response = Response::new(content(opened, 0, length, parts)?);
    response.headers_mut().reserve(SAID_HEADERS);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

fn part(opened: &Rc<Opened>, from: u64, length: u64, parts: &Parts) -> Result<Response<Body>, Fault> {
    Ok(range::part(content(opened, from, length, parts)?, from, length, opened.length()))
}

/// The bytes of a file, for a request that wants them.
fn content(opened: &Rc<Opened>, from: u64, length: u64, parts: &Parts) -> Result<Body, Fault> {
    if parts.method == Method::HEAD {
        return Ok(Body::empty());
    }
    if length > MAX_INLINE_BYTES {
        return Ok(Body::file(FileBody::new(Rc::clone(opened), from, length)));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    opened.file.read_exact_at(&mut bytes, from).map_err(|error| {
        tracing::warn!(%error, "file cannot be read");
        Fault::FilesUnreadable
    })?;
    Ok(Body::full(Bytes::from(bytes)))
}
