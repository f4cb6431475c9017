//! Images that engines built before.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Problem;
use crate::engine::image::Image;
use crate::oci::{Descriptor, MAX_DOCUMENT, Manifest, media_type};
use crate::store::Layout;

/// Where in a layout it is remembered what engines built. No part of what others see
/// there.
const MEMORY: &str = "builds";

/// Everything that a build depends on, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildKey(pub [u8; 32]);

impl BuildKey {
    /// The key as 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// An image as the engine made it: what hoist adds to it comes later, and may be another
/// thing each time.
#[derive(Serialize, Deserialize)]
struct Remembered {
    config: String,
    layers: Vec<Descriptor>,
}

/// The manifest of the image that was built for a key, if all of it is still there.
#[must_use]
pub fn recall_build(key: &BuildKey, images: &Layout) -> Option<Descriptor> {
    let mut bytes = Vec::new();
    File::open(place(key, images)).ok()?.take(2 * MAX_DOCUMENT).read_to_end(&mut bytes).ok()?;
    let Remembered { config, layers } = serde_json::from_slice(&bytes).ok()?;
    if !layers.iter().all(|layer| images.holds(layer)) {
        return None;
    }
    let config = images.write(media_type::CONFIG, config.as_bytes()).ok()?;
    images.write(media_type::MANIFEST, &Manifest::new(config, layers).to_bytes()).ok()
}

/// Takes note of what was built for a key. What cannot be noted is built again.
///
/// # Errors
/// The image cannot be read.
pub fn remember_build(key: &BuildKey, built: &Descriptor, images: &Layout) -> Result<(), Problem> {
    let Image { manifest, .. } = Image::read(images, built)?;
    let config = images.read(&manifest.config)?;
    let config = String::from_utf8_lossy(&config).into_owned();
    let _forgotten = keep(key, &Remembered { config, layers: manifest.layers }, images);
    Ok(())
}

fn keep(key: &BuildKey, remembered: &Remembered, images: &Layout) -> io::Result<()> {
    let directory = images.path().join(MEMORY);
    fs::create_dir_all(&directory)?;
    let mut file = tempfile::NamedTempFile::new_in(&directory)?;
    file.write_all(&serde_json::to_vec(remembered)?)?;
    file.persist(place(key, images))?;
    Ok(())
}

fn place(key: &BuildKey, images: &Layout) -> PathBuf {
    images.path().join(MEMORY).join(key.hex())
}
