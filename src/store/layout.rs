//! OCI image layouts (OCI image specification, "Image Layout").
#![expect(clippy::disallowed_methods, reason = "how old an unfinished file is counts from this moment")]

use std::env::temp_dir;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Foreign, MAX_DOCUMENT, Written, list_tag, media_type};
use crate::store::blob::{UNFINISHED, unfinished, unusable};
use crate::store::{BlobReader, BlobWriter, not_followed};

pub use collect::Collected;
pub use notes::Turn;

mod collect;
mod notes;
mod referrers;
#[cfg(test)]
mod tests;

/// Marks a directory as a layout.
const MARKER: &str = "oci-layout";
/// Names and top manifests.
const INDEX: &str = "index.json";
/// The annotation that holds a name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// An unfinished file of this age belongs to nobody who still writes.
const ABANDONED: Duration = Duration::from_hours(24);
/// Up to this size, in bytes, a blob is read to make sure that it is whole: what a disk
/// gives in a moment.
const READ_AGAIN: u64 = 16 << 20;

/// A directory of blobs by digest and of names for some of them.
///
/// Any number of processes may use one at the same time: a blob appears with its
/// whole content, and names are changed under a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// An existing layout.
    ///
    /// # Errors
    /// The directory is none, or of a version that is not 1.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Problem> {
        let root = root.into();
        let marker = match read_bounded(&root.join(MARKER)) {
            Ok(marker) => marker,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let title = format!("`{}` is not an OCI image layout", root.display());
                return Err(Problem::new(Code::NotFound, title).note(format!("it has no file `{MARKER}`")));
            }
            Err(error) => return Err(unusable("read", &root, &error)),
        };
        let version = serde_json::from_slice::<Value>(&marker).ok();
        let version = version.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str());
        if version.is_none_or(|version| !version.starts_with("1.")) {
            let title = format!("`{}` is no image layout of version 1", root.display());
            return Err(Problem::new(Code::Registry, title));
        }
        Ok(Self { root })
    }

    /// A layout, made with its directories unless it is there already.
    ///
    /// # Errors
    /// The file system refuses; what is there is something else.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, Problem> {
        let layout = Self { root: root.into() };
        let blobs = layout.blobs();
        fs::create_dir_all(&blobs).map_err(|error| unusable("create", &blobs, &error))?;
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [] });
        layout.put_new(INDEX, index.to_string().as_bytes())?;
        layout.put_new(MARKER, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        layout.remove_abandoned();
        Self::open(layout.root)
    }

    /// A new layout, which lasts as long as its directory is held.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn temporary() -> Result<(Self, tempfile::TempDir), Problem> {
        let directory = tempfile::tempdir().map_err(|error| unusable("write to", &temp_dir(), &error))?;
        Ok((Self::create(directory.path())?, directory))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Whether there is a blob of this digest. It is not read.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Whether there is a blob of this digest and size. It is not read.
    #[must_use]
    pub fn holds(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.blob_path(&descriptor.digest))
            .is_ok_and(|found| found.is_file() && found.len() == descriptor.size)
    }

    /// Whether there is a blob of this digest and size that need not be brought again. It
    /// is read where that takes no time; a larger one counts by its size.
    #[must_use]
    pub fn has_whole(&self, descriptor: &Descriptor) -> bool {
        self.holds(descriptor) && (descriptor.size > READ_AGAIN || self.verify(descriptor).is_ok())
    }

    /// Where the blob of a digest is, or would be.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Stores a blob.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Problem> {
        let descriptor = Descriptor::of(media_type, bytes);
        if !self.read(&descriptor).is_ok_and(|known| known == bytes) {
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(|error| unusable("write to", &self.root, &error))?;
            writer.commit(media_type)?;
        }
        Ok(descriptor)
    }

    /// Begins a blob whose content comes piece by piece.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn writer(&self) -> Result<BlobWriter, Problem> {
        BlobWriter::new(&self.root, self.blobs())
    }

    /// A document: a manifest, an index, or a configuration.
    ///
    /// # Errors
    /// It is not there, is not what its digest says, or has more than
    /// [`MAX_DOCUMENT`] bytes.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        self.open_blob(descriptor)?.all(MAX_DOCUMENT)
    }

    /// As [`read`](Self::read); `None` if it is not there.
    ///
    /// # Errors
    /// It is not what its digest says; it cannot be read.
    pub fn read_if_there(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, Problem> {
        match self.read(descriptor) {
            Err(problem) if problem.code == Code::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// A blob to be read piece by piece; reading fails at its end if it is not
    /// what its digest says.
    ///
    /// # Errors
    /// It is not there, or has another size.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<BlobReader, Problem> {
        BlobReader::open(self.blob_path(&descriptor.digest), descriptor)
    }

    /// Reads a blob to make sure that it is what its digest says.
    ///
    /// # Errors
    /// It is not, or is not there.
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), Problem> {
        self.open_blob(descriptor)?.verify()
    }

    /// All names and what they point to, in the order of the index.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn refs(&self) -> Result<Vec<(String, Descriptor)>, Problem> {
        let named = self.tops()?.into_iter().filter_map(|(name, top)| Some((name?, top)));
        Ok(named.collect())
    }

    /// What a tag or a digest points to; `None` if nothing.
    ///
    /// # Errors
    /// The index cannot be read; the tag points to what cannot be followed.
    pub fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Problem> {
        let tops = self.tops()?;
        if let Ok(digest) = name.parse::<Digest>() {
            let listed = tops.into_iter().map(|(_, top)| top).find(|top| top.digest == digest);
            return listed.map_or_else(|| self.describe(&digest), |top| Ok(Some(top)));
        }
        let found = tops.into_iter().find(|(found, _)| found.as_deref() == Some(name)).map(|(_, top)| top);
        if found.is_none() {
            let is_it = |one: &&Foreign| one.annotations.get(REF_NAME).is_some_and(|own| own == name);
            if let Some(foreign) = self.foreign()?.iter().find(is_it) {
                return Err(not_followed(foreign));
            }
        }
        Ok(found)
    }

    /// The only image of the layout, however many names it has.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn only(&self) -> Result<Descriptor, Problem> {
        let mut images = self.tops()?;
        if images.len() > 1 {
            // What is said about an image is not another one.
            let mut kept = Vec::new();
            for (name, top) in images {
                let is_image = match &name {
                    Some(name) => list_tag(name).is_none(),
                    None => !self.is_referrer(&top)?,
                };
                if is_image {
                    kept.push((name, top));
                }
            }
            images = kept;
        }
        let first = images.first().map(|(_, top)| top.clone());
        let shown = self.root.display();
        let Some(first) = first else {
            if let Some(foreign) = self.foreign()?.first() {
                return Err(not_followed(foreign));
            }
            return Err(Problem::new(Code::NotFound, format!("the layout `{shown}` has no image")));
        };
        if images.iter().any(|(_, top)| top.digest != first.digest) {
            let typed = |(name, top): (Option<String>, Descriptor)| {
                name.unwrap_or_else(|| format!("@{}", top.digest))
            };
            let names: Vec<String> = images.into_iter().map(typed).collect();
            return Err(Problem::new(Code::NotFound, format!("the layout `{shown}` has several images"))
                .help(format!("name one of them: {}", names.join(", "))));
        }
        Ok(first)
    }

    /// Gives a manifest or index a name, which may have been another's.
    ///
    /// # Errors
    /// The file system refuses; the index is damaged.
    pub fn set_ref(&self, name: &str, descriptor: &Descriptor) -> Result<(), Problem> {
        let _lock = self.lock()?;
        self.rename(name, descriptor)
    }

    /// Lists a manifest or index without a name, unless it is listed already.
    ///
    /// # Errors
    /// The file system refuses; the index is damaged; not all of it is here.
    pub fn list(&self, descriptor: &Descriptor) -> Result<(), Problem> {
        let _lock = self.lock()?;
        if self.tops()?.iter().any(|(_, top)| top.digest == descriptor.digest) {
            return Ok(());
        }
        self.check_whole(descriptor)?;
        let mut index = self.index()?;
        let mut entry = descriptor.clone();
        // What it was called elsewhere is no name here.
        entry.annotations.shift_remove(REF_NAME);
        let entry = serde_json::to_value(entry).map_err(|error| self.damaged(&error))?;
        self.entries(&mut index)?.push(entry);
        self.put_index(&index)
    }

    /// As [`set_ref`](Self::set_ref), if the name still points to what is
    /// expected; `false`, and nothing changed, if it does not.
    ///
    /// # Errors
    /// The file system refuses; the index is damaged; not all of the image is here.
    pub fn swap_ref(
        &self,
        name: &str,
        expected: Option<Digest>,
        descriptor: &Descriptor,
    ) -> Result<bool, Problem> {
        let _lock = self.lock()?;
        if self.resolve(name)?.map(|found| found.digest) != expected {
            return Ok(false);
        }
        self.check_whole(descriptor)?;
        self.rename(name, descriptor).map(|()| true)
    }

    /// Takes a name away; or, by its digest, a manifest with all its names. `false` if
    /// there is no such. Blobs stay.
    ///
    /// # Errors
    /// The file system refuses; the index is damaged.
    pub fn remove_ref(&self, name: &str) -> Result<bool, Problem> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let entries = self.entries(&mut index)?;
        let before = entries.len();
        let by_digest = name.parse::<Digest>().is_ok();
        entries.retain(|entry| {
            let own = if by_digest { entry.get("digest").and_then(Value::as_str) } else { name_of(entry) };
            own != Some(name)
        });
        let removed = entries.len() < before;
        if removed {
            self.put_index(&index)?;
        }
        Ok(removed)
    }

    /// Changes the index; the lock is held.
    fn rename(&self, name: &str, descriptor: &Descriptor) -> Result<(), Problem> {
        let mut index = self.index()?;
        let mut entry = descriptor.clone();
        entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        let entry = serde_json::to_value(entry).map_err(|error| self.damaged(&error))?;
        let entries = self.entries(&mut index)?;
        let digest = Value::from(descriptor.digest.to_string());
        // An entry of the same image without a name would make it two for
        // tools that take the only image of a layout.
        let replaced = |old: &Value| match name_of(old) {
            Some(old) => old == name,
            None => old.get("digest") == Some(&digest),
        };
        let at = entries.iter().position(replaced).unwrap_or(entries.len());
        entries.retain(|old| !replaced(old));
        entries.insert(at.min(entries.len()), entry);
        self.put_index(&index)
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    /// The descriptor of a manifest of which only the digest is known.
    fn describe(&self, digest: &Digest) -> Result<Option<Descriptor>, Problem> {
        let Ok(metadata) = fs::metadata(self.blob_path(digest)) else { return Ok(None) };
        let unnamed = Descriptor::new("", *digest, metadata.len());
        let bytes = self.read(&unnamed)?;
        let document: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|error| self.damaged(&error))?;
        let media_type = match document.get("mediaType").and_then(Value::as_str) {
            Some(media_type) => media_type,
            None if document.contains_key("manifests") => media_type::INDEX,
            None => media_type::MANIFEST,
        };
        Ok(Some(Descriptor { media_type: media_type.to_owned(), ..unnamed }))
    }

    /// The entries of the index that have digests of other algorithms than sha256.
    fn foreign(&self) -> Result<Vec<Foreign>, Problem> {
        let mut index = self.index()?;
        let entries = self.entries(&mut index)?.iter().map(Written::of);
        Ok(entries.filter_map(|entry| Foreign::of(&entry)).collect())
    }

    /// The entries of the index that can be understood, without the names in
    /// their annotations.
    fn tops(&self) -> Result<Vec<(Option<String>, Descriptor)>, Problem> {
        let mut index = self.index()?;
        let entries = std::mem::take(self.entries(&mut index)?);
        let read = |entry| {
            let mut top: Descriptor = serde_json::from_value(entry).ok()?;
            Some((top.annotations.shift_remove(REF_NAME), top))
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    fn index(&self) -> Result<Value, Problem> {
        let path = self.root.join(INDEX);
        let bytes = read_bounded(&path).map_err(|error| unusable("read", &path, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(&error))
    }

    fn entries<'a>(&self, index: &'a mut Value) -> Result<&'a mut Vec<Value>, Problem> {
        let manifests = index.as_object_mut().map(|index| index.entry("manifests").or_insert(json!([])));
        let manifests = manifests.ok_or_else(|| self.damaged("it is not an object"))?;
        if manifests.is_null() {
            *manifests = json!([]);
        }
        manifests.as_array_mut().ok_or_else(|| self.damaged("`manifests` is not a list"))
    }

    /// Held while the index is changed. The marker is what is locked: it is
    /// there in every layout, and never replaced.
    fn lock(&self) -> Result<File, Problem> {
        let path = self.root.join(MARKER);
        let locked = OpenOptions::new().read(true).write(true).open(&path).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| unusable("lock", &path, &error))
    }

    fn put_index(&self, index: &Value) -> Result<(), Problem> {
        let path = self.root.join(INDEX);
        let bytes = serde_json::to_vec(index).map_err(|error| self.damaged(&error))?;
        let written = unfinished(&self.root).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.root)?.sync_all()
        });
        written.map_err(|error| unusable("write", &path, &error))
    }

    /// Writes a file unless it is there; of several who try, one succeeds.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        let path = self.root.join(name);
        if path.exists() {
            return Ok(());
        }
        let written = unfinished(&self.root).and_then(|mut file| {
            file.write_all(bytes)?;
            match file.persist_noclobber(&path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
                _ => Ok(()),
            }
        });
        written.map_err(|error| unusable("write", &path, &error))
    }

    /// Removes what killed runs left. Nothing depends on it: errors are passed over.
    fn remove_abandoned(&self) {
        let now = SystemTime::now();
        let old = |entry: &fs::DirEntry| {
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            age.and_then(|modified| now.duration_since(modified).ok()).is_some_and(|age| age > ABANDONED)
        };
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) && old(&entry) {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }

    fn damaged(&self, reason: &(impl ToString + ?Sized)) -> Problem {
        let title = format!("`{}` is damaged", self.root.join(INDEX).display());
        Problem::new(Code::Registry, title).note(reason.to_string())
    }
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

/// A document of a layout whose digest is not known.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(bytes)
}
