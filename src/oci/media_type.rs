//! Media types (OCI image specification, "Media Types"; Docker image manifest,
//! version 2, schema 2).

/// An image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer as it is.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer compressed with gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer compressed with zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, compressed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's layer as it is.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Every type that a registry may answer to a question for a manifest.
pub const MANIFESTS: &[&str] = &[INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
}

/// Whether content of this type is an index, or Docker's manifest list.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_INDEX)
}

/// Whether content of this type is the manifest of one image.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

/// Whether content of this type is the configuration of an image.
#[must_use]
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, CONFIG | DOCKER_CONFIG)
}

/// How a layer of this type is compressed; `None` if it is no layer that can be
/// unpacked, such as an encrypted one.
#[must_use]
pub fn compression(media_type: &str) -> Option<Compression> {
    // Layers that may not be distributed differ in nothing but their name.
    let plain = media_type
        .replace("layer.nondistributable.v1", "layer.v1")
        .replace("image.rootfs.foreign.diff", "image.rootfs.diff");
    match plain.as_str() {
        LAYER | DOCKER_LAYER => Some(Compression::None),
        LAYER_GZIP | DOCKER_LAYER_GZIP => Some(Compression::Gzip),
        LAYER_ZSTD => Some(Compression::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compression_of_a_layer_follows_from_its_type() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
        assert_eq!(compression(LAYER), Some(Compression::None));
        assert_eq!(compression(LAYER_ZSTD), Some(Compression::Zstd));
        assert_eq!(compression(foreign), Some(Compression::Gzip));
        assert_eq!(compression(encrypted), None);
        assert_eq!(compression(CONFIG), None);
    }
}
