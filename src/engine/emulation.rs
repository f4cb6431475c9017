//! Which programs of other machines this one runs.

use std::fs;
use std::path::Path;

use crate::oci::Platform;

/// Where the kernel lists the emulators that it hands programs to.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Architectures that are asked about where all are.
const ARCHITECTURES: [&str; 10] =
    ["amd64", "arm64", "386", "arm", "ppc64le", "s390x", "riscv64", "mips64le", "mipsle", "loong64"];

/// The platforms whose programs the kernel hands to an emulator.
pub(super) fn emulated() -> Vec<Platform> {
    let platforms = ARCHITECTURES.iter().filter_map(|name| format!("linux/{name}").parse().ok());
    platforms.filter(is_emulated).collect()
}

/// Whether the kernel hands programs of a platform to an emulator that it holds
/// open (`F`), so that it need not be in the image.
pub(super) fn is_emulated(platform: &Platform) -> bool {
    let name = match platform.architecture.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        "mipsle" => "mipsel",
        "mips64le" => "mips64el",
        "loong64" => "loongarch64",
        other => other,
    };
    let entry = fs::read_to_string(Path::new(BINFMT).join(format!("qemu-{name}"))).unwrap_or_default();
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    entry.lines().next() == Some("enabled") && flags.contains('F')
}
