//! The file that docker and podman keep credentials in, changed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use crate::diagnostic::{Code, Problem};
use crate::store::registry::credentials::{MARK, MAX_FILE};

/// What a file holds; `None` if there is none, or nothing in it.
///
/// # Errors
/// It is damaged, or cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Map<String, Value>>, Problem> {
    let text = match fs::read_to_string(path) {
        Ok(text) if text.len() as u64 > MAX_FILE => return Err(damaged(path, "it is too large")),
        Ok(text) if text.trim().is_empty() => return Ok(None),
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(path, &error.to_string())),
    };
    // The message of the JSON reader could quote a secret.
    let invalid =
        |error: serde_json::Error| damaged(path, &format!("line {} is no valid JSON", error.line()));
    match serde_json::from_str(text.strip_prefix(MARK).unwrap_or(&text)).map_err(invalid)? {
        Value::Object(file) => Ok(Some(file)),
        Value::Null => Ok(None),
        _ => Err(damaged(path, "it is no JSON object")),
    }
}

/// Changes the entries of a file: what `change` does to its `auths` is written, if it
/// says that it did something. Of several hoists one after the other does so: they lock
/// the directory. Whether something was done.
///
/// # Errors
/// It is damaged, or cannot be written.
pub(super) fn change(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> Result<bool, Problem> {
    let unwritable = |error: io::Error| {
        Problem::new(Code::ReadOnly, format!("`{}` cannot be written", path.display()))
            .note(error.to_string())
    };
    // A link leads to the file that is written.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = real.parent().unwrap_or(Path::new("/")).to_owned();
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(unwritable)?;
    let lock = File::open(&directory).map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;
    let mut file = read(path)?.unwrap_or_default();
    let auths = file.entry("auths").or_insert(Value::Null);
    if auths.is_null() {
        *auths = Value::Object(Map::new());
    }
    let Some(auths) = auths.as_object_mut() else { return Err(damaged(path, "`auths` is no object")) };
    let changed = change(auths);
    if changed {
        write(&real, &directory, &file).map_err(unwritable)?;
    }
    Ok(changed)
}

/// Writes a file as a whole or not at all. A new one is for its owner alone; one that is
/// there keeps its owner, as far as one may give it away, and who may read it.
fn write(path: &Path, directory: &Path, file: &Map<String, Value>) -> io::Result<()> {
    let mut written = NamedTempFile::new_in(directory)?;
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    serde::Serialize::serialize(file, &mut serializer)?;
    text.push(b'\n');
    written.write_all(&text)?;
    if let Ok(before) = fs::metadata(path) {
        let is_owned = fchown(written.as_file(), Some(before.uid()), Some(before.gid())).is_ok();
        // Whom the bits for the group mean is another matter where the group is.
        let mask = if is_owned { 0o777 } else { 0o707 };
        written.as_file().set_permissions(Permissions::from_mode(before.permissions().mode() & mask))?;
    }
    written.as_file().sync_data()?;
    written.persist(path).map(drop).map_err(|error| error.error)
}

fn damaged(path: &Path, why: &str) -> Problem {
    Problem::new(Code::ReadOnly, format!("`{}` cannot be changed", path.display()))
        .note(why.to_owned())
        .help("mend it, or name another file in `REGISTRY_AUTH_FILE`")
}
