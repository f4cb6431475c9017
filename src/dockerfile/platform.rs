//! Platforms as Dockerfiles name them, and the arguments that each build has.

use crate::dockerfile::Request;
use crate::oci::Platform;

/// The operating systems that may stand alone.
const SYSTEMS: [&str; 4] = ["linux", "windows", "darwin", "freebsd"];

/// Reads a platform; an operating system or an architecture alone is completed
/// with that of the builder, as containerd does.
pub(super) fn parse(text: &str, builder: &Platform) -> Option<Platform> {
    let lower = text.to_ascii_lowercase();
    let full = match lower.as_str() {
        system if SYSTEMS.contains(&system) => format!("{system}/{}", builder.architecture),
        alone if !alone.contains('/') => format!("{}/{alone}", builder.os),
        full => full.to_owned(),
    };
    full.parse().ok()
}

/// The platform with the variant that is meant where none is given.
fn normal(platform: &Platform) -> Platform {
    let arm = platform.architecture == "arm" && platform.variant.is_none();
    let variant = if arm { Some("v7".to_owned()) } else { platform.variant.clone() };
    Platform { variant, ..platform.clone() }
}

/// The arguments that a build has without declaring them (Dockerfile reference,
/// "Automatic platform ARGs in the global scope").
pub(super) fn automatic(request: &Request<'_>) -> Vec<(&'static str, String)> {
    let builder = normal(request.builder);
    let target = normal(request.platform);
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    vec![
        ("BUILDPLATFORM", builder.to_string()),
        ("BUILDOS", builder.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", builder.architecture.clone()),
        ("BUILDVARIANT", variant(&builder)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(&target)),
        ("TARGETSTAGE", request.target.unwrap_or("default").to_owned()),
    ]
}
