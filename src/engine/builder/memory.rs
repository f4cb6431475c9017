//! Images that engines built before.

use std::io;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Problem;
use crate::engine::image::Image;
use crate::oci::{Descriptor, MAX_DOCUMENT, Manifest, media_type};
use crate::store::{Layout, Turn};

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
    let Remembered { config, layers } = images.note(MEMORY, &key.hex(), 2 * MAX_DOCUMENT)?;
    if !layers.iter().all(|layer| images.holds(layer)) {
        return None;
    }
    let config = images.write(media_type::CONFIG, config.as_bytes()).ok()?;
    images.write(media_type::MANIFEST, &Manifest::new(config, layers).to_bytes()).ok()
}

/// Takes the turn at a build; `None` while another hoist has it, which is going to take
/// note of what it builds.
///
/// # Errors
/// The file system refuses.
pub fn take_turn(key: &BuildKey, images: &Layout) -> io::Result<Option<Turn>> {
    images.turn(MEMORY, &key.hex())
}

/// Takes note of what was built for a key. What cannot be noted is built again.
///
/// # Errors
/// The image cannot be read.
pub fn remember_build(key: &BuildKey, built: &Descriptor, images: &Layout) -> Result<(), Problem> {
    let Image { manifest, .. } = Image::read(images, built)?;
    let config = images.read(&manifest.config)?;
    let config = String::from_utf8_lossy(&config).into_owned();
    let _forgotten = images.keep_note(MEMORY, &key.hex(), &Remembered { config, layers: manifest.layers });
    Ok(())
}
