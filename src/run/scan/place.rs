//! Where a scanner finds an image.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Manifest};
use crate::store::Layout;

/// Most bytes of a report.
const LARGEST: u64 = 64 << 20;

/// The image of one platform as a layout that holds nothing else, so that no scanner takes
/// another one; and room for the report. It is gone when this is dropped.
pub(super) struct Place {
    directory: TempDir,
}

impl Place {
    /// Lays out the image of a manifest of `built`. The blobs are links to those that are
    /// there, where the file system can do that.
    ///
    /// # Errors
    /// The file system refuses; a blob is missing.
    pub(super) fn new(built: &Layout, manifest: &Descriptor, archive: bool) -> Result<Self, Problem> {
        let directory = tempfile::Builder::new().prefix(".hoist-scan-").tempdir_in(built.path());
        let directory = directory.map_err(|error| unusable(built.path(), &error))?;
        let place = Self { directory };
        let layout = Layout::create(place.layout())?;
        let bytes = built.read(manifest)?;
        let document = Manifest::parse(&bytes).map_err(|why| {
            Problem::new(Code::Registry, format!("the manifest {} is damaged", manifest.digest))
                .note(why.to_string())
        })?;
        for blob in [manifest, &document.config].into_iter().chain(&document.layers) {
            let (from, to) = (built.blob_path(&blob.digest), layout.blob_path(&blob.digest));
            if to.exists() {
                continue;
            }
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
            linked.map_err(|error| unusable(&from, &error))?;
        }
        layout.list(manifest)?;
        if archive {
            place.pack().map_err(|error| unusable(place.directory.path(), &error))?;
        }
        Ok(place)
    }

    fn pack(&self) -> io::Result<()> {
        let mut archive = tar::Builder::new(File::create(self.archive())?);
        let layout = self.layout();
        for file in ["oci-layout", "index.json"] {
            archive.append_path_with_name(layout.join(file), file)?;
        }
        archive.append_dir_all("blobs", layout.join("blobs"))?;
        archive.finish()
    }

    /// The layout.
    pub(super) fn layout(&self) -> PathBuf {
        self.directory.path().join("layout")
    }

    /// The archive of it, if one was asked for.
    pub(super) fn archive(&self) -> PathBuf {
        self.directory.path().join("image.tar")
    }

    /// Where the scanner writes its report.
    pub(super) fn report(&self) -> PathBuf {
        self.directory.path().join("report.json")
    }

    /// The report.
    ///
    /// # Errors
    /// Why there is none: a sentence without a period.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        let path = self.report();
        let size = fs::metadata(&path).map_err(|_| "it wrote no report".to_owned())?.len();
        if size > LARGEST {
            return Err(format!("its report has {size} bytes; hoist reads up to {LARGEST}"));
        }
        fs::read(&path).map_err(|error| format!("its report cannot be read: {error}"))
    }
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    let title = format!("an image cannot be laid out for a scanner: `{}`", path.display());
    Problem::new(Code::CacheUnusable, title).note(error.to_string())
}
