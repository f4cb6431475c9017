//! Checked documents to the typed model.

mod names;

pub(crate) use names::name_fits;

use crate::config::{LoadedDocument, Release};
use crate::diagnostic::{Code, Problem, Problems};

/// What the documents of a project declare together.
///
/// The first document with an empty prefix is the file that the project was
/// found by. `directory_name` is the project's name where the file gives none.
///
/// # Errors
/// Everything that is wrong with the documents.
pub fn decode(documents: &[LoadedDocument], directory_name: &str) -> Result<Release, Problems> {
    let _ = (documents, directory_name);
    Err(Problem::new(Code::NotAvailable, "decoding is not available yet").into())
}
